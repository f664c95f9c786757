"""Wait until files are on the disk, so that not even a power cut undoes what a run counts as done.

Only for what is not checked when it is read again: final pixels, and what is said about them. Working files need none of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_NOT_HERE = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM}
"""Error codes of file systems that store folders in other ways."""


def flush(files: Iterable[Path], *, below: Path) -> None:
    """Wait for files and for their names in every folder up to `below`; missing files are not an error."""
    folders = {below}
    for file in files:
        with suppress(FileNotFoundError):
            _flush(file)
            folders |= {folder for folder in file.parents if below in folder.parents}
    for folder in folders:
        try:
            _flush(folder)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise


def flush_tree(folder: Path) -> None:
    """Wait for everything in a folder, which should not be pixels, and for its own name."""
    if folder.is_dir():
        flush((path for path in folder.rglob("*") if path.is_file()), below=folder.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
