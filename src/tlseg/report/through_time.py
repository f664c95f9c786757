"""What a page tells of a movie: counts, volumes, lineage and divisions, each through time."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tlseg.measure import criteria, history
from tlseg.report import charts
from tlseg.report.channels import MeasuredChannel
from tlseg.report.generations import about_unknown, ended_caption, ended_generations, generation_sheet
from tlseg.report.lineage_tree import lineage_tree
from tlseg.report.shades import tree_shades
from tlseg.report.story import Material, Panel, Story
from tlseg.report.tiles import tiles_through_time
from tlseg.report.timing import Clock
from tlseg.wording import how_many


def story_through_time(material: Material) -> Story:
    """What a result of several frames tells."""
    table, tracks, divided = material.table, material.tracks, material.divided
    frames, clock = material.frames, material.clock
    return Story(
        tiles=tiles_through_time(material.facts, clock),
        heading="Through time",
        beside=_beside(table, divided, frames, material.seen, clock, depth=material.depth),
        tree=_tree(tracks, table, frames, clock, material.drawn),
        measured=_measured(table, material.drawn, frames, clock),
        more=_more(table, tracks, divided, frames, clock),
        generations=generation_sheet(table, tracks, clock),
        listings=material.listings,
        named_by={"t": "frame", "track": "track"},
    )


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
