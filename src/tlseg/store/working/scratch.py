"""The working state of a run: maps, provisional labels and small tables, all under one fingerprint.

A table is written in one step after the pixels it describes, so an existing table means its region is done. A second start
with the same fingerprint does only what is missing; with another, an error says what changed.

A run has a lease: the name of its own folder in here. A task of a run that is over holds an expired lease, so it neither
writes nor reads deleted data as zeros; see docs/decisions/0010-leases.md.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import LabelError, ResumeError, RunError
from tlseg.store.fs.atomic import write_atomically
from tlseg.store.fs.refused import refusal
from tlseg.store.working.folder import make_private
from tlseg.store.working.names import Table

FINGERPRINT = "fingerprint.json"
LABELS = "labels"
"""Array of provisional labels."""

LEASE = re.compile(r"[0-9a-f]{12}")
"""Names of the folders of runs."""

RUN_TABLES = (Table.STATISTICS, Table.NUCLEUS, Table.ARRAYS, Table.OUTPUT)
"""Tables that stay when a frame is redone: they describe the movie or the whole run."""


class LostWorkError(RunError):
    """A working file is damaged or gone; the holder of the run's lock forgets its frame, so that it is redone."""

    def __init__(self, path: str, frame: int) -> None:
        super().__init__(
            f"{path}, a working file of an unfinished run, is damaged or missing. Run the same command again to redo frame "
            f"{frame} and continue."
        )
        self.path, self.frame = path, frame

    def __reduce__(self) -> tuple[type[LostWorkError], tuple[str, int]]:
        return LostWorkError, (self.path, self.frame)


@dataclass(frozen=True, slots=True)
class Scratch:
    """Working files of one run in a local folder; a small value that travels to workers.

    `lease` is empty if there is no run yet.
    """

    folder: str
    lease: str = ""

    @classmethod
    def at(cls, folder: str) -> Scratch:
        """Working files of the unfinished run in a folder, if there is one."""
        lease = (_read_json(Path(folder) / FINGERPRINT) or {}).get("lease")
        return cls(folder, lease if isinstance(lease, str) else "")

    @property
    def path(self) -> Path:
        """The run's own folder."""
        return Path(self.folder) / (self.lease or "none")

    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the unfinished run in the folder; None if there is none, or it cannot be read."""
        stored = (_read_json(Path(self.folder) / FINGERPRINT) or {}).get("fingerprint")
        return stored if isinstance(stored, dict) else None

    def continues(self, fingerprint: Mapping[str, Any], *, overwrite: bool = False) -> bool:
        """Whether a run of this fingerprint continues with what is here.

        With `overwrite` it continues only what another start with `overwrite` has begun.

        Raises
        ------
        ResumeError
            Without `overwrite`, when the folder holds an unfinished run with another fingerprint.
        """
        path = Path(self.folder) / FINGERPRINT
        if not path.is_file():
            return False
        stored = _read_json(path)
        changed = differences((stored or {}).get("fingerprint"), json.loads(json.dumps(fingerprint)))
        if overwrite:
            return stored is not None and not changed and bool(stored.get("overwrite"))
        if stored is None or not self.lease:
            raise ResumeError(f"{path}, a working file of an unfinished run, is damaged. Start over with --overwrite.")
        if changed:
            raise ResumeError(
                f"An unfinished run in {self.folder} was made with other settings: {'; '.join(changed)}. Use the same "
                "settings to continue it, or start over with --overwrite."
            )
        return True

    def begin(self, fingerprint: Mapping[str, Any], *, overwrite: bool = False) -> Scratch:
        """Start a run under a new lease; what an earlier one left is deleted, and nothing else.

        Raises
        ------
        LabelError
            When the folder cannot be written, or is a link.
        RunError
            When the disk is full.
        """
        if Path(self.folder).is_symlink():
            raise LabelError(
                f"{self.folder}, where working files would go, is a link, and nothing is deleted behind links. Name the "
                "folder itself with --scratch."
            )
        new = Scratch(self.folder, uuid4().hex[:12])
        document = {"lease": new.lease, "overwrite": overwrite, "fingerprint": dict(fingerprint)}
        try:
            make_private(self.folder)
            new.path.mkdir(parents=True)
            # From here on, tasks of earlier runs find that their lease is over.
            write_atomically(Path(self.folder) / FINGERPRINT, json.dumps(document, indent=2).encode())
            for entry in os.scandir(self.folder):
                ours = entry.is_dir(follow_symlinks=False) and LEASE.fullmatch(entry.name)
                if ours and entry.name != new.lease:
                    shutil.rmtree(entry.path, ignore_errors=True)
        except OSError as error:
            found = f"{self.folder}, where working files go, cannot be written to ({error.strerror})"
            raise refusal(error, found, instead="Check its permissions.") from error
        return new

    def renew(self, fingerprint: Mapping[str, Any], *, without: Collection[str]) -> Scratch:
        """Continue under another fingerprint with everything here except the tables named in `without`.

        The lease is new, so that no task of the run as it was before writes one of these tables again. Where this is cut
        short, the next start finds nothing done.
        """
        new = Scratch(self.folder, uuid4().hex[:12])
        path = Path(self.folder) / FINGERPRINT
        document = {**(_read_json(path) or {}), "lease": new.lease, "fingerprint": dict(fingerprint)}
        self.path.rename(new.path)
        for table in without:
            shutil.rmtree(new.path / "tables" / table, ignore_errors=True)
        write_atomically(path, json.dumps(document, indent=2).encode())
        return new

    def hold(self) -> None:
        """Raise `RunError` when the run whose lease this is, is over: nothing may be written for it any more."""
        if Scratch.at(self.folder).lease == self.lease:
            return
        if Path(self.folder).is_dir():
            raise RunError(f"The run in {self.folder} that this task belongs to is over, so it writes nothing.")
        raise RunError(
            f"{self.folder}, which holds the working files of a run, does not exist on {gethostname()}, so its task writes "
            "nothing. --scratch must name a folder that all workers can see during the run."
        )

    def folder_of(self, name: str) -> Path:
        """Folder of an array; labels lie in a group of their own, which is an image that readers open."""
        return self.path / name / "0" if name == LABELS else self.path / name

    def create(
        self,
        name: str,
        *,
        shape: tuple[int, ...],
        dtype: str,
        shards: tuple[int, ...],
        chunks: tuple[int, ...],
        axes: str | None = None,
    ) -> None:
        """Create an array, or leave an existing one; tasks may write whole shards of it at the same time."""
        import zarr
        from zarr.codecs import BloscCodec, Crc32cCodec

        if (self.folder_of(name) / "zarr.json").is_file():
            return
        zarr.create_array(
            self.folder_of(name),
            shape=shape,
            dtype=dtype,
            shards=shards if shards != chunks else None,
            chunks=chunks,
            # The checksum tells what a power cut left of a chunk from the chunk.
            compressors=[
                BloscCodec(cname="lz4", clevel=1, shuffle="noshuffle" if dtype == "uint8" else "shuffle"),
                Crc32cCodec(),
            ],
            fill_value=0,
            dimension_names=None if axes is None else tuple(axes),
        )

    def array(self, name: str) -> Any:
        """Open an array; cached per process. Frames that were dropped read as 0: see `read`."""
        return _open_array(str(self.folder_of(name)))

    def read(self, name: str, place: tuple[Any, ...], *, frame: int) -> NDArray[Any]:
        """Pixels of an array at a place (indices and slices), which belong to a frame.

        Raises
        ------
        LostWorkError
            When some were never written, were dropped, or are damaged.
        """
        try:
            return np.asarray(_open_whole(str(self.folder_of(name)))[place])
        except Exception as error:  # every codec has errors of its own
            self.hold()
            raise LostWorkError(str(self.folder_of(name)), frame) from error

    def write(self, name: str, place: tuple[Any, ...], values: NDArray[Any]) -> None:
        """Write pixels of an array, unless the run is over."""
        self.hold()
        self.array(name)[place] = values

    def holds(self, name: str, row: int) -> bool:
        """Whether anything of a frame (first axis) of an array is there."""
        return (self.folder_of(name) / "c" / str(row)).is_dir()

    def drop(self, name: str, row: int) -> None:
        """Free the disk space of a frame (first axis) of an array."""
        shutil.rmtree(self.folder_of(name) / "c" / str(row), ignore_errors=True)

    def put(self, stage: str, frame: int, number: int, **arrays: NDArray[Any]) -> None:
        """Store the table of a region; from then on the region is done in this stage.

        Raises
        ------
        TypeError
            When an array holds Python objects, which only a pickle could keep and `get` would not read.
        """
        members: dict[str, Any] = {name: np.asarray(values) for name, values in arrays.items()}
        for name, values in members.items():
            if values.dtype.hasobject:
                raise TypeError(
                    f"{name} of stage {stage} holds Python objects. A table holds numbers; convert it first."
                )
        buffer = io.BytesIO()
        np.savez(buffer, **members)
        self.hold()
        path = self._table(stage, frame, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())

    def get(self, stage: str, frame: int, number: int) -> dict[str, NDArray[Any]]:
        """Table of a region.

        Raises
        ------
        LostWorkError
            When it is damaged or gone. What it was made from may be gone too, so its frame must be redone.
        """
        path = self._table(stage, frame, number)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except Exception as error:  # zip, zlib and numpy each have errors of their own
            self.hold()
            raise LostWorkError(str(path), frame) from error

    def has(self, stage: str, frame: int, number: int) -> bool:
        """Whether a region is done in a stage: a task that finds it so was done by another worker in the meantime."""
        return self._table(stage, frame, number).exists()

    def done(self, stage: str, frame: int) -> set[int]:
        """Numbers of the regions of a frame that this stage has done."""
        folder = self.path / "tables" / stage / f"{frame:06d}"
        if not folder.is_dir():
            return set()
        return {int(entry.name[:-4]) for entry in os.scandir(folder) if entry.name.endswith(".npz")}

    def forget(self, frame: int) -> None:
        """Count nothing of a frame as done in any stage."""
        for stage in self._stages():
            shutil.rmtree(stage / f"{frame:06d}", ignore_errors=True)

    def remove(self) -> None:
        """Delete everything; first the fingerprint, so that no run continues with the rest."""
        (Path(self.folder) / FINGERPRINT).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stages(self) -> Iterator[Path]:
        """Folders of the tables of stages that work on frames."""
        tables = self.path / "tables"
        if tables.is_dir():
            yield from (Path(entry.path) for entry in os.scandir(tables) if entry.name not in RUN_TABLES)

    def _table(self, stage: str, frame: int, number: int) -> Path:
        return self.path / "tables" / stage / f"{frame:06d}" / f"{number:08d}.npz"


def _read_json(path: Path) -> dict[str, Any] | None:
    """Content of a JSON file; None if it cannot be read as a mapping."""
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """List what differs, as `settings.region_threshold was 128, is 100`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        return [
            line for key in keys for line in differences(before.get(key), now.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{where} was {_brief(before)}, is {_brief(now)}"]


def _brief(value: Any) -> Any:
    """A value as messages show it: of a digest the first digits, of which reports show as many."""
    if value is None:
        return "not set"
    return value[:12] if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else value


@lru_cache(maxsize=32)
def _open_array(path: str) -> Any:
    import zarr

    # What is zero is written too, so that what is absent is known to be lost.
    return zarr.open_array(Path(path), mode="r+").with_config({"order": "C", "write_empty_chunks": True})


@lru_cache(maxsize=32)
def _open_whole(path: str) -> Any:
    """Open an array of which every chunk that is read must be there."""
    import zarr

    from tlseg.store.fs.local import CheckedStore

    class Whole(CheckedStore):
        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            found = await super().get(key, prototype, byte_range)
            if found is None and key.startswith("c/"):
                raise FileNotFoundError(key)
            return found

    return zarr.open_array(Whole(path, read_only=True), mode="r")
