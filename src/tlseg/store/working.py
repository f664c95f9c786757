"""Where the working files of a run lie: always in a folder, also when its results go to an object store.

One output has one such folder, so that a second start finds what the first one left.
"""

from __future__ import annotations

import getpass
import hashlib
import tempfile
from pathlib import Path

from tlseg.store.place import Place


def scratch_folder(root: Place, name: str, chosen: str | Path | None) -> str:
    """Folder for the working files of the labels `name` in `root`.

    Parameters
    ----------
    root, name
        Output of the run.
    chosen
        Folder that holds working files of any number of runs, each in one of its own. Where not given, they lie with
        the result, or, for a remote one, in the temporary folder of this machine.
    """
    if chosen is None and not root.remote:
        return str(root.path / "tlseg" / name / "scratch")
    above = Path(chosen).expanduser().absolute() if chosen is not None else _temporary()
    mark = hashlib.sha256(f"{root.url}\n{name}".encode()).hexdigest()[:12]
    return str(above / f"{root.name}-{name}-{mark}")


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"tlseg-{getpass.getuser()}"
