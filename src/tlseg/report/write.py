"""Write the report of a result: from tables, tracks, record and pixels to one HTML file.

Only the table is held whole; pictures are made frame by frame. A reader sees the old report or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tlseg.errors import LabelError, RunError, one_line
from tlseg.measure import history
from tlseg.report.attention import listings
from tlseg.report.facts import Facts, gather_facts, links_of, seen_frames, segmented_frames
from tlseg.report.figures import check_figures, figure_files, outdated_figures
from tlseg.report.one_frame import sections_of_one_frame
from tlseg.report.page import MARK, build_page
from tlseg.report.pictures import Footage, Progress, open_footage, take_strip
from tlseg.report.sections import ReportData
from tlseg.report.through_time import sections_through_time
from tlseg.report.timing import clock_for
from tlseg.store.fs.atomic import NO_SPACE
from tlseg.store.fs.place import Place, place_of, writable
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.image_of import ImageBeneath, image_of
from tlseg.store.labels.movie_time import movie_time
from tlseg.store.labels.result import Result, as_result
from tlseg.store.labels.tables import read_table

_HEAD_BYTES = 2000
"""Bytes of a report that hold its mark."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Attributes
    ----------
    path : Path or Place
    nbytes : int
        Size of the file.
    pictures : int
        Frames it shows.
    facts : Facts
    attention : dict of str to int
        How many things of each kind are worth a look.
    figures : tuple of str
        Files of single figures, if they were asked for.
    """

    path: Path | Place
    nbytes: int
    pictures: int
    facts: Facts
    attention: dict[str, int]
    figures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "report": str(self.path),
            "bytes": self.nbytes,
            "pictures": self.pictures,
            "facts": self.facts.to_dict(),
            "attention": self.attention,
            "figures": self.figures,
        }


def write_report(
    path: str | Path | Result,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the report of a result.

    Parameters
    ----------
    path : str, Path or Result
        OME-Zarr group a run wrote to, local or a URL, or what `open_result` gave.
    name : str, optional
        Name of the labels; by default those that were opened, "nuclei", or the only ones.
    out : str or Path, optional
        File to write; by default `tlseg/<name>/report.html` inside the result.
    figures : str or Path, optional
        Folder for each figure as a file of its own (SVG), and a file with what they show.
    progress : callable, optional
        Called with (pictures done, pictures) after each.

    Returns
    -------
    Report

    Raises
    ------
    LabelError
        If there are no finished labels or no table of this name, or a file cannot be written there.
    RunError
        If the disk is full.
    MovieError
        If image or labels are damaged.
    """
    result = as_result(path, name=name)
    target = _target(result, out)
    folder = None if figures is None else _folder(figures)
    source = open_source(f"{result.path}/labels/{result.name}")
    table = history.complete(read_table(result.path, result.name))
    data = _report_data(result, source, table, progress=progress)
    facts = data.facts
    sections = sections_through_time(data) if facts.has_time else sections_of_one_frame(data)
    page = build_page(data, sections).encode()
    drawings = {} if folder is None else figure_files(sections, title=facts.title)
    if folder is not None:
        check_figures(folder, drawings)
    with _writing(target, elsewhere="--out FILE"):
        target.write(page)
    if folder is not None:
        _write_figures(folder, drawings)
    return Report(
        path=target if target.remote else target.path,
        nbytes=len(page),
        pictures=len(data.strip.shots),
        facts=facts,
        attention={listing.key: listing.total for listing in data.listings},
        figures=tuple(str(folder / name) for name in drawings) if folder is not None else (),
    )


def _write_figures(folder: Place, drawings: Mapping[str, bytes]) -> None:
    """Write them in place of all of an earlier report; captions, which name the others, come last."""
    for place in outdated_figures(folder, drawings):
        with _writing(place, elsewhere="--figures FOLDER"):
            place.remove()
    for name, drawing in drawings.items():
        with _writing(folder / name, elsewhere="--figures FOLDER"):
            (folder / name).write(drawing)


@contextmanager
def _writing(place: Place, *, elsewhere: str) -> Iterator[None]:
    """Say where else to write if a file cannot be written."""
    try:
        yield
    except OSError as error:
        failure, first = (RunError, "Free space or write") if error.errno in NO_SPACE else (LabelError, "Write")
        raise failure(
            f"{place} cannot be written ({error.strerror or one_line(error)}). {first} elsewhere with {elsewhere}."
        ) from error


def _target(result: Result, out: str | Path | None) -> Place:
    target = place_of(out) if out is not None else Place(result.path) / "tlseg" / result.name / "report.html"
    with writable(target):
        if target.is_dir():
            raise LabelError(f"{target} is a folder. Expected a file to write, such as {target / 'report.html'}.")
        if out is not None and target.exists() and not _is_report(target):
            raise LabelError(f"{target} exists and is not a tlseg report, so it is not replaced. Choose another --out.")
    _check_parents(target, "--out")
    return target


def _folder(figures: str | Path) -> Place:
    folder = place_of(figures)
    with writable(folder):
        if folder.exists() and not folder.is_dir():
            raise LabelError(f"{folder} is a file. Expected a folder for figures, such as figures/.")
    _check_parents(folder, "--figures")
    return folder


def _check_parents(target: Place, option: str) -> None:
    """Refuse a local file inside a file before any picture is drawn."""
    if target.remote:
        return
    there = next(part for part in target.path.parents if part.exists())
    if not there.is_dir():
        raise LabelError(f"{target} cannot be written: {there} is a file. Expected a folder; choose another {option}.")


def _is_report(file: Place) -> bool:
    if file.remote:
        head = file.read_range(0, _HEAD_BYTES)
    else:
        with file.path.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    return MARK.encode() in head


def _report_data(result: Result, source: MovieSource, table: pd.DataFrame, *, progress: Progress | None) -> ReportData:
    beneath = image_of(source, result.path, channel=result.image_channel)
    tracks = history.track_table(table)
    divided = history.divisions(tracks)
    time, seen = movie_time(source, result), seen_frames(result, source)
    return ReportData(
        facts=gather_facts(result, source, table, divisions=len(divided)),
        table=table,
        tracks=tracks,
        divided=divided,
        clock=clock_for(source.n_frames, time.interval_s, start_s=time.start_s, first=time.first),
        frames=source.n_frames,
        seen=seen,
        listings=listings(table, links_of(result), frames=seen, first_frame=time.first),
        depth=_depth(source),
        strip=take_strip(footage_of(result, source, beneath), progress=progress),
        pictured=beneath.image is not None,
        note=beneath.note,
    )


def _depth(source: MovieSource) -> str:
    """What a volume is where there is one plane only; empty elsewhere."""
    if source.frame_shape[0] > 1:
        return ""
    return f" There is one plane only: volumes are areas times {source.spacing_um[0]:g} µm."


def footage_of(result: Result, source: MovieSource, beneath: ImageBeneath) -> Footage:
    """Pixels of labels and of the image beneath them, the channel that was segmented."""
    return open_footage(
        f"{result.path}/labels/{result.name}",
        None if beneath.image is None else result.path,
        channel=result.image_channel,
        frames=segmented_frames(result, source),
        first=beneath.first,
    )
