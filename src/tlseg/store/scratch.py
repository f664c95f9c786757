"""What a run remembers while it goes on: maps, provisional labels and small tables, all under one fingerprint.

A table is written in one step after the pixels it speaks of, so a table that is there means its region is done. A
second start with the same fingerprint does only what is missing; with another it is told what changed.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import time
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
from numpy.typing import NDArray

from tlseg.errors import LabelError, ResumeError, RunError

STALE_LOCK_S = 600.0
"""A run on another machine that was silent this long is gone."""

UNREADABLE_LOCK_S = 10.0
"""A lock still without its owner's name after this long was left by a run that was killed while it wrote it."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Working files of one run in a local folder; a small value that travels to workers."""

    folder: str

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)

    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the unfinished run in the folder; None where there is none, or none that can be read."""
        try:
            stored = json.loads((self.path / "fingerprint.json").read_text())
        except (OSError, ValueError):
            return None
        return stored if isinstance(stored, dict) else None

    def begin(self, fingerprint: Mapping[str, Any]) -> bool:
        """Start, or go on with a run of this fingerprint; returns whether there is anything to go on with.

        Raises
        ------
        ResumeError
            When the folder holds an unfinished run with another fingerprint.
        LabelError
            When the folder cannot be written.
        """
        wanted = json.loads(json.dumps(fingerprint))
        path = self.path / "fingerprint.json"
        if path.is_file():
            try:
                before = json.loads(path.read_text())
            except ValueError as error:
                raise _damaged(path) from error
            changed = _differences(before, wanted)
            if changed:
                raise ResumeError(
                    f"An unfinished run in {self.folder} was made with other settings: {'; '.join(changed)}. Repeat "
                    "its settings to go on with it, or start anew with --overwrite."
                )
            return True
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(wanted, indent=2).encode())
        except OSError as error:
            raise LabelError(
                f"{self.folder} cannot be written to ({error.strerror}). Write elsewhere with --out."
            ) from error
        return False

    def create(
        self, name: str, *, shape: tuple[int, ...], dtype: str, shards: tuple[int, ...], chunks: tuple[int, ...]
    ) -> None:
        """Make an array, or leave the one that is there; tasks may write whole shards of it at the same time."""
        import zarr
        from zarr.codecs import BloscCodec

        if (self.path / name / "zarr.json").is_file():
            return
        zarr.create_array(
            self.path / name,
            shape=shape,
            dtype=dtype,
            shards=shards if shards != chunks else None,
            chunks=chunks,
            compressors=BloscCodec(cname="lz4", clevel=1, shuffle="noshuffle" if dtype == "uint8" else "shuffle"),
            fill_value=0,
        )

    def array(self, name: str) -> Any:
        """Open an array; cached per process, until it is made anew."""
        path = self.path / name
        made = (path / "zarr.json").stat()
        return _open_array(str(path), (made.st_ino, made.st_mtime_ns))

    def drop(self, name: str, row: int) -> None:
        """Free the disk space of a frame (first axis) of an array; its pixels read as 0 afterwards."""
        shutil.rmtree(self.path / name / "c" / str(row), ignore_errors=True)

    def put(self, stage: str, frame: int, number: int, **arrays: NDArray[Any]) -> None:
        """Store the table of a region; from then on the region is done in this stage."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        path = self._table(stage, frame, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())

    def get(self, stage: str, frame: int, number: int) -> dict[str, NDArray[Any]]:
        """Table of a region.

        Raises
        ------
        ResumeError
            When it is damaged. What it speaks of may be gone already, so it cannot be made again alone.
        """
        path = self._table(stage, frame, number)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise _damaged(path) from error

    def done(self, stage: str, frame: int) -> set[int]:
        """Numbers of the regions of a frame that this stage has done."""
        folder = self.path / "tables" / stage / f"{frame:06d}"
        if not folder.is_dir():
            return set()
        return {int(entry.name[:-4]) for entry in os.scandir(folder) if entry.name.endswith(".npz")}

    def remove(self) -> None:
        """Delete everything."""
        _open_array.cache_clear()
        shutil.rmtree(self.path, ignore_errors=True)

    def _table(self, stage: str, frame: int, number: int) -> Path:
        return self.path / "tables" / stage / f"{frame:06d}" / f"{number:08d}.npz"


class RunLock:
    """Only one run at a time may write to an output; the lock of a process that is gone is taken over."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.lock"

    def __enter__(self) -> RunLock:
        mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}).encode()
        for _ in range(2):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                self._yield_or_raise()
                continue
            except OSError as error:
                raise LabelError(
                    f"{self.path.parent} cannot be written to ({error.strerror}). Write elsewhere with --out."
                ) from error
            with os.fdopen(handle, "wb") as file:
                file.write(mine)
            return self
        raise RunError(f"Another run took {self.path.parent} at the same moment. Start again when it is done.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)

    def beat(self) -> None:
        """Show that the run is alive."""
        with suppress(FileNotFoundError):
            os.utime(self.path)

    def _yield_or_raise(self) -> None:
        """Remove a lock whose owner is gone; raise where it is alive."""
        try:
            text = self.path.read_text()
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return
        owner = _owner(text)
        here = owner.get("host") == socket.gethostname()
        if (here and _alive(owner)) or (not here and age < (STALE_LOCK_S if owner else UNREADABLE_LOCK_S)):
            whose = f"process {owner.get('pid')} on {owner.get('host')}" if owner else "it has just begun"
            raise RunError(
                f"Another run is writing to {self.path.parent} ({whose}). Wait for it, or choose another --name or "
                "--out."
            )
        self.path.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a reader sees the whole file or none."""
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _owner(text: str) -> dict[str, Any]:
    """Who a lock says it belongs to; nothing where it was cut short."""
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) and isinstance(owner.get("pid"), int) else {}


def _alive(owner: Mapping[str, Any]) -> bool:
    """Whether the process still runs; a number that was given to another process since does not count."""
    started = _started(owner["pid"])
    return started is not None and abs(started - owner.get("started", started)) < 2


def _started(pid: int) -> float | None:
    """When a process of this machine began, seconds since the epoch; None where there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def _damaged(path: Path) -> ResumeError:
    return ResumeError(f"{path}, a working file of an unfinished run, is damaged. Start anew with --overwrite.")


def _differences(before: Any, now: Any, where: str = "") -> list[str]:
    """List what differs, as `settings.region_threshold was 128, is 100`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        return [
            line for key in keys for line in _differences(before.get(key), now.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{where} was {before}, is {now}"]


@lru_cache(maxsize=32)
def _open_array(path: str, made: tuple[int, int]) -> Any:
    import zarr

    return zarr.open_array(path, mode="r+")
