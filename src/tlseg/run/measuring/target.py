"""May the table of these labels be replaced? Only that of a finished result, and only by who holds its lock.

What decides about a result, and whether it is complete, stays as it is in the run record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime

from tlseg.errors import LabelError
from tlseg.run.finish import write_record
from tlseg.run.replaced import LINKING
from tlseg.store.fs.location import can_list, one_line
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.label_writer import absent
from tlseg.store.labels.record import read_record
from tlseg.store.labels.result import Result
from tlseg.store.locks.lock import Lock, TakenError, lock_of

MEASURED = "measured"
"""Where a run record says which channels of which image were measured since."""


def folder_of(result: Result) -> Place:
    """Folder of the record and of the lock."""
    return Place(result.path) / "tlseg" / result.name


def check_measurable(result: Result) -> None:
    """Raise `LabelError` unless a result is whole and its table can be replaced."""
    root, folder, table = Place(result.path), folder_of(result), Place(result.path) / "tables" / result.name
    begun = not result.record and (folder / "audit.json").exists()
    if begun or (folder / LINKING).exists() or not result.record.get("complete", True):
        raise LabelError(
            f"{root} has labels {result.name!r} that are not finished. Let the run come to its end first: the same command "
            "goes on."
        )
    if not can_list(root.url):
        raise LabelError(f"{root} can only be read, and what is measured goes into its table. Measure a copy of it.")
    if not root.remote and table.exists() and not os.access(table.url, os.W_OK):
        raise _read_only(table, "no permission")


@contextmanager
def locked(result: Result) -> Iterator[Lock]:
    """Keep others from writing these labels; of folders that are made for the lock alone nothing remains.

    Raises
    ------
    LabelError
        If the result cannot be written to.
    TakenError
        If another run writes to it.
    """
    folder = folder_of(result)
    new = [] if folder.remote else absent(Place(result.path), folder)
    try:
        with ExitStack() as held:
            lock = lock_of(folder)
            try:
                held.enter_context(lock)
            except TakenError:
                raise
            except LabelError as error:
                raise _read_only(folder, one_line(error.__cause__ or error)) from error
            yield lock
    finally:
        for place in reversed(new):
            with suppress(OSError):  # another run is in it
                place.path.rmdir()


def remember(
    result: Result, channels: Sequence[MovieSource], columns: Sequence[tuple[str, str]], frames: range
) -> None:
    """Say in the run record, where there is one, what was measured.

    Parameters
    ----------
    channels, columns
        Channels of an image, and the columns of each.
    frames
        Frames of that image.
    """
    record = read_record(result.path, result.name)
    if not record:
        return
    new = [
        {
            "columns": list(pair),
            "image": channel.url,
            "channel": channel.channel,
            "name": channel.channel_names[channel.channel],
            "frames": [frames.start, frames.stop],
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        for channel, pair in zip(channels, columns, strict=True)
    ]
    replaced = [list(pair) for pair in columns]
    kept = [entry for entry in record.get(MEASURED, []) if entry["columns"] not in replaced]
    write_record(folder_of(result) / "run.json", {**record, MEASURED: [*kept, *new]})


def _read_only(place: Place, why: str) -> LabelError:
    return LabelError(
        f"{place} cannot be written to ({why}), and what is measured goes into the table of this result. See to its "
        "permissions, or measure a copy."
    )
