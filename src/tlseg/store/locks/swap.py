"""Put finished files in their place: what was there is renamed first, and deleted last.

A reader sees the old or the new, for the moment between two renames nothing, and never a part of either.
"""

from __future__ import annotations

import os
from pathlib import Path

from tlseg.store.fs.place import Place


def swap(part: Path, target: Path) -> None:
    """Rename `part` to `target`, a file or folder of the same file system; what was there is dropped.

    Raises
    ------
    OSError
        If the file system refuses; then what was there is restored.
    """
    old = target.with_name(f".{target.name}.old")
    Place(str(old)).remove()
    replaces = os.path.lexists(target)
    if replaces:
        target.replace(old)
    try:
        part.replace(target)
    except OSError:
        if replaces:
            old.replace(target)
        raise
    Place(str(old)).remove()
