"""What a page tells of a movie: counts, volumes, lineage and divisions, each through time."""

from __future__ import annotations

import pandas as pd

from tlseg.measure import criteria, history
from tlseg.report import charts, generation_charts
from tlseg.report.generations import about_unknown, ended_caption, ended_generations, generation_table
from tlseg.report.lineage_tree import lineage_tree
from tlseg.report.sections import Panel, ReportData, Sections
from tlseg.report.shades import tree_shades
from tlseg.report.tiles import tiles_through_time
from tlseg.wording import how_many


def sections_through_time(data: ReportData) -> Sections:
    """Sections of a result of several frames."""
    return Sections(
        tiles=tiles_through_time(data.facts, data.clock),
        heading="Through time",
        beside=_beside(data),
        tree=_tree(data),
        measured=_measured(data),
        more=_more(data),
        generations=generation_table(data.table, data.tracks, data.clock),
        listings=data.listings,
        named_by={"t": "frame", "track": "track"},
    )


def _beside(data: ReportData) -> list[Panel]:
    table, divided, clock = data.table, data.divided, data.clock
    lines = len(table) <= charts.MOST_POINTS
    return [
        Panel(
            "Nuclei over time",
            _about_bars(divided),
            charts.count_chart(history.counts(table, data.frames), divided, clock, seen=data.seen),
            hint="Click to go to a frame.",
        ),
        Panel(
            "Volume of nuclei over time",
            _about_lines(lines) + data.depth + _about_cut(table),
            charts.volume_chart(table, frames=data.frames, clock=clock),
            "The table has no volumes.",
            hint=_POINT if lines else "",
        ),
    ]


def _about_bars(divided: pd.DataFrame) -> str:
    """What the bars below the counts are, and how many the tallest counts: they have no axis."""
    return f"Bars are divisions, at most {divided.groupby('t').size().max():,} in a frame." if len(divided) else ""


def _how_many_each(rows: pd.DataFrame) -> str:
    """Size of each generation's sample, such as ` n = 4, 8 (gen 0, 1).`; empty without any."""
    sizes = rows.groupby("generation").size()
    if not len(sizes):
        return ""
    return f" n = {', '.join(f'{n:,}' for n in sizes)} (gen {', '.join(map(str, sizes.index))})."


def _about_cut(table: pd.DataFrame) -> str:
    """How many of the volumes shown are of nuclei that the frame's edge cuts; empty if none."""
    cut = int(table["touches_edge"].sum())
    return f" {cut:,} of {len(table):,} are too small: the frame's edge cuts the nucleus." if cut else ""


def _about_lines(lines: bool) -> str:
    """What a figure over time shows, with lines of tracks or without."""
    mean = "Thick: mean of each frame ± standard deviation."
    return f"{mean} Thin: tracks." if lines else mean


_POINT = "Point at a track to find it in the tree."


def _measured(data: ReportData) -> list[Panel]:
    table, frames, clock = data.table, data.frames, data.clock
    lines = len(table) * len(data.drawn) <= charts.MOST_POINTS  # of all figures together
    panels = []
    for channel in data.drawn:
        title = f"Mean intensity of {channel.short} over time"
        about = f"{_about_lines(lines)} {channel.about}"
        drawing = charts.intensity_chart(table, channel.column, frames=frames, clock=clock, title=title, lines=lines)
        instead = f"No nucleus has a value in column {channel.column}."
        panels.append(Panel(title, about, drawing, instead, hint=_POINT if lines else ""))
    return panels


def _tree(data: ReportData) -> Panel:
    table, tracks = data.table, data.tracks
    if not len(tracks):
        return Panel("Tracks and divisions", "", None, "There are no tracks.")
    repaired = table[table["seed"] == "repaired"]
    tree = lineage_tree(tracks, history.gaps(table), frames=data.frames, clock=data.clock, repaired=repaired)
    rings = "; rings are repaired nuclei" if len(repaired) else ""
    part = (
        "" if tree.shown == tree.families else f" The {tree.shown:,} largest of {tree.families:,} families are drawn."
    )
    about = (
        f"Each line is a track in the colour of its outlines, each fork a division; dashed where not seen{rings}.{part}"
    )
    shades = tree_shades(table, tree.tracks, data.drawn)
    hint = "Colour can show a measured channel instead." if shades else ""
    return Panel("Tracks and divisions", about, tree.drawing, hint=hint, above=shades)


def _more(data: ReportData) -> list[Panel]:
    table, tracks, clock = data.table, data.tracks, data.clock
    known = history.of_known_generation
    cycles, divided = known(history.cycles(tracks)), known(data.divided)
    sisters = known(criteria.division_criteria(table, tracks))
    ratio = "sister_volume_ratio"
    drawn = sisters.dropna(subset=[ratio]) if ratio in sisters.columns else sisters.iloc[:0]
    rows = [int(g) for g in sorted(known(tracks)["generation"].unique())]
    ended = ended_generations(tracks)
    too_short = ended_caption(cycles, tracks, looks="shorter than it is", done="complete")
    too_narrow = ended_caption(divided, tracks, looks="more in step than it is", done="divided")
    return [
        Panel(
            "Volume by generation",
            "Generation 0 is the nuclei of the first frame. Median, middle half, and 5 to 95 % of nuclei in all frames; "
            f"tracks:{_how_many_each(known(tracks))}" + about_unknown(tracks) + _about_cut(known(table)),
            generation_charts.volume_by_generation(known(table), rows),
            "The table has no volumes of nuclei whose generation is known.",
        ),
        Panel(
            "Cell-cycle length",
            f"From division to division, of the {how_many(len(cycles), 'track')} of known generation seen from beginning to "
            f"end; strokes are medians.{_how_many_each(cycles)}{too_short}",
            generation_charts.cycle_chart(cycles, rows, clock=clock, ended=ended),
            "No nucleus of known generation was followed from one division to the next.",
        ),
        Panel(
            "Division synchrony",
            "When the nuclei of each generation divided: the narrower, the more in step. Strokes are medians."
            f"{_how_many_each(divided)}{too_narrow}",
            generation_charts.synchrony_chart(divided, rows, frames=data.frames, clock=clock, ended=ended),
            "There are no divisions of nuclei whose generation is known.",
        ),
        Panel(
            "Sister size ratio",
            f"Volume of the smaller daughter over the larger in their first {criteria.NEWBORN_FRAMES} frames; 1 is equal. "
            f"Rows are the mothers' generations, strokes medians.{_how_many_each(drawn)}",
            generation_charts.sister_chart(sisters, rows),
            "No division with two daughters was seen.",
        ),
    ]
