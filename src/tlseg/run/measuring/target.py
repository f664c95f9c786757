"""May the table of these labels be replaced? Only if the result is finished, and only by the process that holds its lock.

Columns with values of another image are replaced only on request.

Entries of the run record that describe the result, and whether it is complete, are not changed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tlseg.errors import LabelError, one_line
from tlseg.run.derived import LINKING
from tlseg.run.measuring.image import movie_of
from tlseg.store.fs.paths import can_list
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource, address_of
from tlseg.store.labels.label_group import remove_empty
from tlseg.store.labels.record import MEASURED, now, read_record, write_record
from tlseg.store.labels.result import Result
from tlseg.store.labels.tables import column_names
from tlseg.store.locks.lock import Lock, TakenError, lock_of


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


def check_columns(
    result: Result, columns: Sequence[tuple[str, str]], image: MovieSource, *, begun: Collection[str]
) -> None:
    """Raise `LabelError` if the table has such columns already, with values of another image than this one.

    Parameters
    ----------
    columns
        Columns that are to be written, two for each channel of `image`.
    begun
        Columns that are known to be those of this image.
    """
    record = read_record(result.path, result.name)
    made_of = {column: entry["image"] for entry in record.get(MEASURED, []) for column in entry["columns"]}
    ours = movie_of(image.url)

    def movie(column: str) -> str:
        return movie_of(address_of({"url": made_of[column]}, root=result.path)) if column in made_of else ""

    present = set(column_names(result.path, result.name)) - set(begun)
    taken = [column for pair in columns for column in pair if column in present and movie(column) != ours]
    if taken:
        others = " and ".join(sorted({movie(column) or "an image that no run record names" for column in taken}))
        raise LabelError(
            f"Table {result.name!r} of {result.path} already has {', '.join(taken)}, of {others} instead of {ours}. Use "
            "--overwrite to replace these columns, or --prefix NAME to give the new ones other names."
        )


@contextmanager
def locked(result: Result) -> Iterator[Lock]:
    """Keep other runs from writing to these labels; folders that then hold nothing are removed.

    Raises
    ------
    LabelError
        If the result cannot be written to.
    TakenError
        If another run is writing to it.
    """
    folder = folder_of(result)
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
        remove_empty([folder.parent, folder])


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
            "image": channel.identity(root=result.path)["url"],
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
