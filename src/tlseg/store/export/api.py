"""Write what is stored of a result in the formats of other programs.

The result is not changed, no movie is ever held whole in memory, and a target appears only once it is complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write a result in another format, for formats that need no computing; `tlseg.report.export` has all of them."""
    chosen = local_target(out) if out is not None else None
    found = as_result(result, name=name)
    name = found.name
    labels = open_source(f"{found.path}/labels/{name}")
    time = movie_time(labels, found)
    target = chosen or beside(found.path, name, FORMATS[format].ends)
    with publishing(
        target,
        overwrite=overwrite,
        replaceable=lambda path: _is_export(path, format, found.path, name, labels, time),
        apart_from=found.path,
    ) as part:
        items, unit, notes = _write(format, found.path, labels, part, name=name, time=time, progress=progress)
    return Exported(str(target), format, labels.n_frames, items, unit, notes)


def _write(
    format: Format,
    root: str,
    labels: MovieSource,
    part: Path,
    *,
    name: str,
    time: MovieTime,
    progress: Callable[[int, int], None],
) -> tuple[int, str, tuple[str, ...]]:
    if format == "ctc":
        rows = read_table(root, name, columns=["t", "label", "track", "parent"])
        count = write_ctc(labels, rows, part, progress=progress)
        return count, "tracks", _ctc_notes(count, rows["track"].nunique())
    if format == "geff":
        graph = open_label_movie(root, name=name).geff
        if graph is None:
            raise LabelError(f"{root} has no tracks of {name!r}. Make them with tlseg link.")
        return copy_geff(graph, part, progress=progress), "nodes", ()
    if format == "tiff":
        write_stacks(labels, part, prefix=name, first=time.first, progress=progress)
        return labels.n_frames, "frames", ()
    if format == "csv":
        rows_written = write_csv(root, name, part, frames=labels.n_frames, time=time, progress=progress)
        return rows_written, "rows", ()
    if format == "napari":
        return write_napari(root, name, part, is_2d=labels.is_2d, progress=progress), "rows", ()
    image = write_v04(root, name, part, progress=progress)
    return labels.n_frames, "frames", () if image else ("The result holds no image, so only labels were written.",)


def _ctc_notes(pieces: int, tracks: int) -> tuple[str, ...]:
    if pieces == tracks:
        return ()
    gaps = pieces - tracks
    became = how_many(gaps, "gap became a track of its own", "gaps became tracks of their own")
    return (f"{became} with a parent, because this format has no gaps.",)


def _is_export(path: Path, format: Format, root: str, name: str, labels: MovieSource, time: MovieTime) -> bool:
    """Whether the existing target was written in this format by tlseg, so that replacing it loses nothing else."""
    if format == "csv":
        return has_header(path, csv_columns(root, name, time=time), optional=is_of_channel)
    if format == "napari":
        return has_header(path, napari_columns(is_2d=labels.is_2d))
    if format == "ctc":
        return _holds_stacks(path, _CTC_NAME, TRACK_FILE)
    if format == "tiff":
        return _holds_stacks(path, _TIFF_NAME)
    return is_detached(path) if format == "geff" else is_v04_export(path)


def _holds_stacks(folder: Path, stack: re.Pattern[str], *others: str) -> bool:
    """Whether a folder holds stacks that tlseg wrote, and nothing but these `others`."""
    if not only_files(folder, lambda name: name in others or stack.fullmatch(name) is not None):
        return False
    stacks = [file for file in folder.iterdir() if file.name not in others]
    return bool(stacks) and all(is_exported(file) for file in stacks)
