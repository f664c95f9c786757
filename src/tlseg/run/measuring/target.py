"""May the table of these labels be replaced? Only if the result is finished, and only by the process that holds its lock.

Entries of the run record that describe the result, and whether it is complete, are not changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tlseg.errors import LabelError
from tlseg.run.replaced import LINKING
from tlseg.store.fs.location import can_list, one_line
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.label_writer import absent, remove_empty
from tlseg.store.labels.record import now, read_record, write_record
from tlseg.store.labels.result import Result
from tlseg.store.locks.lock import Lock, TakenError, lock_of

MEASURED = "measured"
"""Key of the run record that lists the channels measured later, and their image."""


def folder_of(result: Result) -> Place:
    """Return the folder of the run record and of the lock."""
    return Place(result.path) / "tlseg" / result.name


def check_measurable(result: Result) -> None:
    """Raise `LabelError` unless a result is finished and its table can be replaced."""
    root, folder, table = Place(result.path), folder_of(result), Place(result.path) / "tables" / result.name
    begun = not result.record and (folder / "audit.json").exists()
    if begun or (folder / LINKING).exists() or not result.record.get("complete", True):
        raise LabelError(
            f"{root} has labels {result.name!r} that are not finished. Finish the run first: the same command continues it."
        )
    if not can_list(root.url):
        raise LabelError(f"{root} is read-only, but measured values are written to its table. Measure a copy of it.")
    if not root.remote and table.exists() and not os.access(table.url, os.W_OK):
        raise _read_only(table, "no permission")


@contextmanager
def locked(result: Result) -> Iterator[Lock]:
    """Keep other runs from writing to these labels; folders made only for the lock are removed afterwards.

    Raises
    ------
    LabelError
        If the result cannot be written to.
    TakenError
        If another run is writing to it.
    """
    folder = folder_of(result)
    new = absent(Place(result.path), folder)
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
        remove_empty(new)


def remember(
    result: Result, channels: Sequence[MovieSource], columns: Sequence[tuple[str, str]], frames: range
) -> None:
    """Add what was measured to the run record, if there is one.

    Parameters
    ----------
    channels, columns
        Channels of one image, and the two columns of each.
    frames
        Frames of that image that were measured.
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
            "made": now(),
        }
        for channel, pair in zip(channels, columns, strict=True)
    ]
    replaced = [list(pair) for pair in columns]
    kept = [entry for entry in record.get(MEASURED, []) if entry["columns"] not in replaced]
    write_record(folder_of(result) / "run.json", {**record, MEASURED: [*kept, *new]})


def _read_only(place: Place, why: str) -> LabelError:
    return LabelError(
        f"{place} cannot be written to ({why}), but measured values go into the table of this result. Check its "
        "permissions, or measure a copy."
    )
