"""What a page tells of a single frame: how its nuclei are spread, and which to look at. There is no time to tell of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.report.attention import Listing
from tlseg.report.channels import MeasuredChannel, values_of
from tlseg.report.histogram import Spread, histogram, spread_of
from tlseg.report.sections import Panel, ReportData, Sections
from tlseg.report.tiles import tiles_of_one_frame
from tlseg.wording import how_many


def sections_of_one_frame(data: ReportData) -> Sections:
    """Sections of a result of one frame."""
    return Sections(
        tiles=tiles_of_one_frame(data.facts),
        heading="Nuclei",
        beside=[_volumes(data.table, depth=data.depth)],
        tree=None,
        measured=[_intensities(data.table, channel) for channel in data.drawn],
        more=[],
        generations=None,
        listings=_listings(data),
        named_by={"track": "nucleus"},
    )


def _volumes(table: pd.DataFrame, *, depth: str) -> Panel:
    title = "Volumes of nuclei"
    if "volume_um3" not in table.columns:
        return Panel(title, "", None, "The table has no volumes.")
    spread = spread_of(values_of(table, "volume_um3"), _cut(table), low=0.0)
    if spread is None:
        return Panel(title, "", None, "There are no nuclei.")
    drawing = histogram(spread, label="volume (µm³)", unit="µm³", title=title)
    return Panel(title, _about(spread, " and therefore too small") + depth, drawing)


def _intensities(table: pd.DataFrame, channel: MeasuredChannel) -> Panel:
    title = f"Mean intensity of {channel.short}"
    spread = spread_of(values_of(table, channel.column), _cut(table))
    if spread is None:
        return Panel(title, "", None, f"No nucleus has a value in column {channel.column}.")
    drawing = histogram(spread, label="mean grey value", unit="", title=title)
    return Panel(title, f"{_about(spread)} {channel.about}", drawing)


def _about(spread: Spread, cut_means: str = "") -> str:
    """What a histogram shows: its bars, its stroke, and what both leave out."""
    cut, whole = int(spread.cut.sum()), int(spread.whole.sum())
    dashed = f"Dashed: {cut:,} of {how_many(cut + whole, 'nucleus', 'nuclei')}, cut by the frame's edge{cut_means}."
    parts = [dashed] if cut else []
    if spread.median is not None:
        parts.append(f"The stroke is the median{' of the others' if cut else ''}.")
    if spread.beyond:
        parts.append(f"The last bar includes {spread.beyond:,} beyond the axis.")
    return " ".join(parts)


def _listings(data: ReportData) -> list[Listing]:
    found = {listing.key: listing for listing in data.listings}
    edge = replace(
        found["edge"],
        title="Nuclei cut by the frame's edge",
        about="Their volumes are too small and their shapes incomplete.",
        shown={key: title for key, title in found["edge"].shown.items() if key != "cut"},
    )
    return [found["fallback"], edge]


def _cut(table: pd.DataFrame) -> NDArray[np.bool_]:
    return table["touches_edge"].to_numpy(dtype=bool)
