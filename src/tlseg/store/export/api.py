"""Write what is stored of a result in the formats of other programs.

The result is not changed, no movie is ever held whole in memory, and a target appears only once it is complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tlseg.errors import LabelError
from tlseg.store.export.ctc import TRACK_FILE, write_ctc
from tlseg.store.export.formats import FORMATS, Format
from tlseg.store.export.geff import copy_geff, is_detached
from tlseg.store.export.tables import csv_columns, is_of_channel, napari_columns, write_csv, write_napari
from tlseg.store.export.target import beside, has_header, local_target, only_files, publishing
from tlseg.store.export.tiff import is_exported, write_stacks
from tlseg.store.export.zarr import is_v04_export, write_v04
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.label_movie import open_label_movie
from tlseg.store.labels.movie_time import MovieTime, movie_time
from tlseg.store.labels.result import Result, as_result
from tlseg.store.labels.tables import read_table
from tlseg.wording import how_many

_TIFF_NAME = re.compile(r".+_t\d+(\.ome)?\.tif")
_CTC_NAME = re.compile(r"mask\d+\.tif")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with what is done, and the total."""
Written: TypeAlias = tuple[int, str, tuple[str, ...]]
"""How many items, of which unit, and notes on them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path : str
        File or folder.
    format : str
        One of `FORMATS`.
    frames : int
        Frames of the label movie.
    items : int
        How many `unit`.
    unit : str
        What was counted: tracks, nodes, rows or frames.
    notes : tuple of str
        Notes on it, one sentence each.
    tables : dict of str to int
        Rows of each table, if there are several.
    """

    path: str
    format: Format
    frames: int
    items: int
    unit: str
    notes: tuple[str, ...] = ()
    tables: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def export_stored(
    result: str | Path | Result,
    format: Format,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write a result in another format, for formats that need no computing; `tlseg.report.export` has all of them."""
    chosen = local_target(out) if out is not None else None
    found = as_result(result, name=name)
    labels = open_source(f"{found.path}/labels/{found.name}")
    stored, writer = _Stored(found.path, found.name, labels, movie_time(labels, found)), _WRITERS[format]
    target = chosen or beside(found.path, found.name, FORMATS[format].ends)
    with publishing(
        target, overwrite=overwrite, replaceable=lambda path: writer.wrote(path, stored), apart_from=found.path
    ) as part:
        items, unit, notes = writer.write(stored, part, progress)
    return Exported(str(target), format, labels.n_frames, items, unit, notes)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is exported: labels, table and graph of this name in a group, and when they begin."""

    root: str
    name: str
    labels: MovieSource
    time: MovieTime


def _ctc(stored: _Stored, part: Path, progress: Progress) -> Written:
    rows = read_table(stored.root, stored.name, columns=["t", "label", "track", "parent"])
    count, tracks = write_ctc(stored.labels, rows, part, progress=progress), rows["track"].nunique()
    became = how_many(count - tracks, "gap became a track of its own", "gaps became tracks of their own")
    note = f"{became} with a parent, because this format has no gaps."
    return count, "tracks", (note,) if count > tracks else ()


def _geff(stored: _Stored, part: Path, progress: Progress) -> Written:
    graph = open_label_movie(stored.root, name=stored.name).geff
    if graph is None:
        raise LabelError(f"{stored.root} has no tracks of {stored.name!r}. Make them with tlseg link.")
    return copy_geff(graph, part, progress=progress), "nodes", ()


def _tiff(stored: _Stored, part: Path, progress: Progress) -> Written:
    write_stacks(stored.labels, part, prefix=stored.name, first=stored.time.first, progress=progress)
    return stored.labels.n_frames, "frames", ()


def _csv(stored: _Stored, part: Path, progress: Progress) -> Written:
    frames = stored.labels.n_frames
    rows = write_csv(stored.root, stored.name, part, frames=frames, time=stored.time, progress=progress)
    return rows, "rows", ()


def _napari(stored: _Stored, part: Path, progress: Progress) -> Written:
    rows = write_napari(stored.root, stored.name, part, is_2d=stored.labels.is_2d, progress=progress)
    return rows, "rows", ()


def _zarr(stored: _Stored, part: Path, progress: Progress) -> Written:
    image = write_v04(stored.root, stored.name, part, progress=progress)
    return (
        stored.labels.n_frames,
        "frames",
        () if image else ("The result holds no image, so only labels were written.",),
    )


class _Writer(NamedTuple):
    """How a format is written, and whether an existing target is an export of it: replacing that loses nothing else."""

    write: Callable[[_Stored, Path, Progress], Written]
    wrote: Callable[[Path, _Stored], bool]


_WRITERS: Mapping[Format, _Writer] = {
    "ctc": _Writer(_ctc, lambda path, _: _holds_stacks(path, _CTC_NAME, TRACK_FILE)),
    "geff": _Writer(_geff, lambda path, _: is_detached(path)),
    "tiff": _Writer(_tiff, lambda path, _: _holds_stacks(path, _TIFF_NAME)),
    "csv": _Writer(
        _csv,
        lambda path, of: has_header(path, csv_columns(of.root, of.name, time=of.time), optional=is_of_channel),
    ),
    "napari": _Writer(_napari, lambda path, of: has_header(path, napari_columns(is_2d=of.labels.is_2d))),
    "ome-zarr-0.4": _Writer(_zarr, lambda path, _: is_v04_export(path)),
}


def _holds_stacks(folder: Path, stack: re.Pattern[str], *others: str) -> bool:
    """Whether a folder holds stacks that tlseg wrote, and nothing but these `others`."""
    if not only_files(folder, lambda name: name in others or stack.fullmatch(name) is not None):
        return False
    stacks = [file for file in folder.iterdir() if file.name not in others]
    return bool(stacks) and all(is_exported(file) for file in stacks)
