"""Write the report of a result: from tables, tracks, record and pixels to one HTML file.

Only the table is held whole; pictures are made frame by frame. A reader sees the old report or the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tlseg.errors import LabelError, RunError
from tlseg.measure import criteria, history
from tlseg.report import charts
from tlseg.report.attention import listings
from tlseg.report.channels import MeasuredChannel, about_undrawn
from tlseg.report.facts import Facts, gather_facts, links_of, seen_frames, segmented_frames
from tlseg.report.generations import about_unknown, ended_caption, ended_generations, generation_sheet
from tlseg.report.lineage_tree import lineage_tree
from tlseg.report.page import MARK, Content, Panel, build_page
from tlseg.report.pictures import Footage, Progress, open_footage, take_strip
from tlseg.report.shades import tree_shades
from tlseg.report.timing import Clock, clock_for
from tlseg.store.fs.atomic import NO_SPACE
from tlseg.store.fs.location import one_line
from tlseg.store.fs.place import Place, place_of
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.image_of import ImageBeneath, image_of
from tlseg.store.labels.movie_time import movie_time
from tlseg.store.labels.result import Result, as_result
from tlseg.store.labels.tables import read_table
from tlseg.wording import how_many

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
    """

    path: Path | Place
    nbytes: int
    pictures: int
    facts: Facts
    attention: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "report": str(self.path),
            "bytes": self.nbytes,
            "pictures": self.pictures,
            "facts": self.facts.to_dict(),
            "attention": self.attention,
        }


def write_report(
    path: str | Path | Result,
    *,
    name: str | None = None,
    out: str | Path | None = None,
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
    progress : callable, optional
        Called with (pictures done, pictures) after each.

    Returns
    -------
    Report

    Raises
    ------
    LabelError
        If there are no finished labels or no table of this name, or the file cannot be written there.
    RunError
        If the disk is full.
    MovieError
        If image or labels are damaged.
    """
    result = as_result(path, name=name)
    target = _target(result, out)
    source = open_source(f"{result.path}/labels/{result.name}")
    table = history.complete(read_table(result.path, result.name))
    content = _content(result, source, table, progress=progress)
    data = build_page(content).encode()
    try:
        place_of(target).write(data)
    except OSError as error:
        failure, first = (RunError, "Free space or write") if error.errno in NO_SPACE else (LabelError, "Write")
        raise failure(f"{target} cannot be written ({one_line(error)}). {first} elsewhere with --out FILE.") from error
    attention = {listing.key: listing.total for listing in content.listings}
    return Report(target, len(data), len(content.strip.shots), content.facts, attention)


def _target(result: Result, out: str | Path | None) -> Path | Place:
    inside = Place(result.path) / "tlseg" / result.name / "report.html"
    chosen = inside if out is None else place_of(out)
    target = chosen if chosen.remote else chosen.path
    if target.is_dir():
        raise LabelError(f"{target} is a folder. Expected a file to write, such as {target / 'report.html'}.")
    if out is not None and target.exists() and not _is_report(chosen):
        raise LabelError(f"{target} exists and is not a tlseg report, so it is not replaced. Choose another --out.")
    return target


def _is_report(file: Place) -> bool:
    if file.remote:
        head = file.read_range(0, _HEAD_BYTES)
    else:
        with file.path.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    return MARK.encode() in head


def _content(result: Result, source: MovieSource, table: pd.DataFrame, *, progress: Progress | None) -> Content:
    frames, seen = source.n_frames, segmented_frames(result, source)
    beneath = image_of(source, result.path, channel=result.image_channel)
    tracks = history.track_table(table)
    divided = history.divisions(tracks)
    time = movie_time(source, result)
    clock = clock_for(frames, time.interval_s, start_s=time.start_s, first=time.first)
    facts = gather_facts(result, source, table, divisions=len(divided))
    drawn = [channel for channel in facts.measured if channel.drawn]
    return Content(
        facts=facts,
        clock=clock,
        strip=take_strip(footage_of(result, source, beneath), progress=progress),
        pictured=beneath.image is not None,
        note=beneath.note,
        table=table,
        beside=_beside(table, divided, frames, seen, clock, depth=_depth(source)),
        tree=_tree(tracks, table, frames, clock, drawn),
        measured=_measured(table, drawn, frames, clock),
        undrawn=about_undrawn(facts.measured),
        more=_more(table, tracks, divided, frames, clock),
        generations=generation_sheet(table, tracks, clock),
        listings=listings(table, links_of(result), frames=seen_frames(result, source), first_frame=time.first),
    )


def _depth(source: MovieSource) -> str:
    """What a volume is where there is one plane only; empty elsewhere."""
    if source.frame_shape[0] > 1:
        return ""
    return f" There is one plane only: volumes are areas times {source.spacing_um[0]:g} µm."


def _beside(
    table: pd.DataFrame, divided: pd.DataFrame, frames: int, seen: range, clock: Clock, *, depth: str
) -> list[Panel]:
    return [
        Panel(
            "Nuclei over time",
            f"{'Bars are divisions. ' if len(divided) else ''}Click to go to a frame.",
            charts.count_chart(history.counts(table, frames), divided, clock, seen=seen),
        ),
        Panel(
            "Volume of nuclei over time",
            _about_lines(len(table) <= charts.MOST_POINTS) + depth + _about_cut(table),
            charts.volume_chart(table, frames=frames, clock=clock),
            "The table has no volumes.",
        ),
    ]


def _about_cut(table: pd.DataFrame) -> str:
    """How many of the volumes shown are of nuclei that the frame's edge cuts; empty if none."""
    cut = int(table["touches_edge"].sum())
    return f" {cut:,} of {len(table):,} are too small: the frame's edge cuts the nucleus." if cut else ""


def _about_lines(lines: bool) -> str:
    """What a figure over time shows, with lines of tracks or without."""
    mean = "Thick: mean of each frame ± standard deviation."
    return f"{mean} Thin: tracks; point at one to find it in the tree." if lines else mean


def _measured(table: pd.DataFrame, channels: Sequence[MeasuredChannel], frames: int, clock: Clock) -> list[Panel]:
    lines = len(table) * len(channels) <= charts.MOST_POINTS  # of all figures together
    titles = [f"Mean intensity of {channel.short} over time" for channel in channels]
    return [
        Panel(
            title,
            f"{_about_lines(lines)} {channel.about}",
            charts.intensity_chart(table, channel.column, frames=frames, clock=clock, title=title, lines=lines),
            f"No nucleus has a value in column {channel.column}.",
        )
        for title, channel in zip(titles, channels, strict=True)
    ]


def _tree(
    tracks: pd.DataFrame, table: pd.DataFrame, frames: int, clock: Clock, channels: Sequence[MeasuredChannel]
) -> Panel:
    if not len(tracks):
        return Panel("Tracks and divisions", "", None, "There are no tracks.")
    repaired = table[table["seed"] == "repaired"]
    tree = lineage_tree(tracks, history.gaps(table), frames=frames, clock=clock, repaired=repaired)
    rings = "; rings are repaired nuclei" if len(repaired) else ""
    part = (
        "" if tree.shown == tree.families else f" The {tree.shown:,} largest of {tree.families:,} families are drawn."
    )
    about = (
        f"Each line is a track in the colour of its outlines, each fork a division; dashed where not seen{rings}.{part}"
    )
    shades = tree_shades(table, tree.tracks, channels)
    about += " Colour can show a measured channel instead." if shades else ""
    return Panel("Tracks and divisions", about, tree.drawing, above=shades)


def _more(table: pd.DataFrame, tracks: pd.DataFrame, divided: pd.DataFrame, frames: int, clock: Clock) -> list[Panel]:
    known = history.of_known_generation
    cycles, divided = known(history.cycles(tracks)), known(divided)
    sisters = known(criteria.division_criteria(table, tracks))
    rows = [int(g) for g in sorted(known(tracks)["generation"].unique())]
    ended = ended_generations(tracks)
    too_short = ended_caption(cycles, tracks, looks="shorter than it is", done="complete")
    too_narrow = ended_caption(divided, tracks, looks="more in step than it is", done="divided")
    return [
        Panel(
            "Volume by generation",
            "Generation 0 is the nuclei of the first frame. Median, middle half, and 5 to 95 % of nuclei in all frames."
            + about_unknown(tracks)
            + _about_cut(known(table)),
            charts.volume_by_generation(known(table), rows),
            "The table has no volumes of nuclei whose generation is known.",
        ),
        Panel(
            "Cell-cycle length",
            f"From division to division, of the {how_many(len(cycles), 'track')} of known generation seen from beginning to "
            f"end; strokes are medians.{too_short}",
            charts.cycle_chart(cycles, rows, clock=clock, ended=ended),
            "No nucleus of known generation was followed from one division to the next.",
        ),
        Panel(
            "Division synchrony",
            f"When the nuclei of each generation divided: the narrower, the more in step. Strokes are medians.{too_narrow}",
            charts.synchrony_chart(divided, rows, frames=frames, clock=clock, ended=ended),
            "There are no divisions of nuclei whose generation is known.",
        ),
        Panel(
            "Sister size ratio",
            f"Volume of the smaller daughter over the larger in their first {criteria.NEWBORN_FRAMES} frames; 1 is equal. "
            "Rows are the mothers' generations, strokes medians.",
            charts.sister_chart(sisters, rows),
            "No division with two daughters was seen.",
        ),
    ]


def footage_of(result: Result, source: MovieSource, beneath: ImageBeneath) -> Footage:
    """Pixels of labels and of the image beneath them, the channel that was segmented."""
    return open_footage(
        f"{result.path}/labels/{result.name}",
        None if beneath.image is None else result.path,
        channel=result.image_channel,
        frames=segmented_frames(result, source),
        first=beneath.first,
    )
