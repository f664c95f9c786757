"""Where the working files of a run are stored: always in a folder, even if its results go to an object store.

One output has one such folder, so that a second start finds what the first one left. In the temporary folder, where
anybody may make anything, it lies in one that is this user's alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from tlseg.errors import LabelError
from tlseg.store.fs.paths import absolute
from tlseg.store.fs.place import Place

MEASURING = "measuring"
"""Name of the folder of a measurement of further channels, beside that of a run."""


def scratch_folder(root: Place, name: str, chosen: str | Path | None, *, of: str = "scratch") -> str:
    """Folder for the working files of the labels `name` in `root`; nothing is made.

    Parameters
    ----------
    root, name
        Output of the run.
    chosen
        Folder that holds working files of any number of runs, each in one of its own. Where not given, they lie with
        the result, or, for a remote one, in the temporary folder of this machine.
    of
        What they are of: by default, the labels themselves.

    Raises
    ------
    LabelError
        When the folder in the temporary folder is not this user's alone.
    """
    if chosen is None and not root.remote:
        return str(root.path / "tlseg" / name / of)
    above = absolute(chosen) if chosen is not None else _temporary()
    _check_ours(above)
    mark = hashlib.sha256(f"{root.url}\n{name}".encode()).hexdigest()[:12]
    return str(above / f"{root.name}-{name}-{mark}{'' if of == 'scratch' else f'-{of}'}")


def make_private(folder: str) -> None:
    """Make what holds a folder of working files, where that is in the temporary folder, for this user alone.

    Raises
    ------
    LabelError
        When it exists and is not.
    """
    above = Path(folder).parent
    if above == _temporary():
        with suppress(OSError):  # told when the first file is written
            above.mkdir(mode=0o700)
        _check_ours(above)


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"tlseg-{os.getuid()}"


def _check_ours(above: Path) -> None:
    """Raise if other users can write to our folder in the temporary folder, or have created it."""
    if above != _temporary() or not os.path.lexists(above):
        return
    found = above.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return
    raise LabelError(
        f"{above}, where working files would go, must be a folder of this user that nobody else can write to. Name another "
        "folder with --scratch."
    )
