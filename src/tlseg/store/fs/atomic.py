"""Write a file so that whoever reads it sees the whole of it, or what was there before."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a reader sees the whole file or none."""
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
