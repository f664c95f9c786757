"""Write a file so that readers see all of it, or what was there before."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a disk that is full, so that nothing is wrong with the place itself."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a reader sees the whole file or none."""
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextmanager
def replacing(path: Path, *, beside: Path | None = None) -> Iterator[Path]:
    """Yield a path beside a file to write to, which takes its place at the end of the block; if that fails, it is removed.

    Its name ends as the file's does and is new each time, so that several may write. Where only one does, it may be given
    (`beside`): then the next writes over what a kill left.
    """
    beside = beside or path.with_name(f".{path.stem}.{uuid4().hex[:8]}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
