"""Figures of generations: how large their nuclei are, how fast they divide, how much in step and how evenly.

Each function takes small tables and gives one drawing with a row for each generation; one that would say nothing is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tlseg.report.pixels import hex_color
from tlseg.report.svg import Frame, Raw, Scale, axes, figure, size_text, tag, ticks
from tlseg.report.timing import Clock
from tlseg.wording import how_many

MOST_DOTS = 1_500
"""Most dots in one figure; of more, every n-th by value is drawn."""

_ROW = 44.0  # pixels of a generation
_DOT = 4.0  # radius of a dot


def volume_by_generation(table: pd.DataFrame, generations: Sequence[int]) -> Raw | None:
    """Volumes of each generation: median, middle half, and 5 to 95 %."""
    if "volume_um3" not in table.columns or not len(table):
        return None
    groups = {int(str(g)): rows["volume_um3"].to_numpy(float) for g, rows in table.groupby("generation")}
    frame, y, names = _rows(generations)
    x = Scale(0, max(float(np.quantile(v, 0.95)) for v in groups.values()) * 1.08, *frame.x)
    drawn = []
    for generation, values in sorted(groups.items()):
        five, low, middle, upper, most = (x(float(q)) for q in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
        at = y(generations.index(generation))
        median = size_text(float(np.median(values)))
        seen = how_many(len(values), "nucleus", "nuclei")
        about = f"generation {generation}: median {median} µm³ of {seen} in frames"
        drawn += [
            tag("line", x1=five, x2=low, y1=at, y2=at, class_="whisker"),
            tag("line", x1=upper, x2=most, y1=at, y2=at, class_="whisker"),
            tag("rect", tag("title", about), x=low, width=max(upper - low, 1.0), y=at - 9, height=18, class_="box"),
            tag("line", x1=middle, x2=middle, y1=at - 9, y2=at + 9, class_="median"),
        ]
    back = axes(frame, x=x, y=y, x_label="volume (µm³)", y_label="generation", y_ticks=names)
    return figure(frame, back, *drawn, title="Volume by generation")


def cycle_chart(
    cycles: pd.DataFrame, generations: Sequence[int], *, clock: Clock, ended: Sequence[int] = ()
) -> Raw | None:
    """Length of each complete cell cycle, by generation; None if no nucleus was followed through one.

    Of generations in which the movie `ended` dots are grey.
    """
    if not len(cycles):
        return None
    lengths = cycles.assign(value=cycles["length"].astype(float).map(clock.lasting))
    x = (0.0, float(lengths["value"].max()) * 1.1)
    label = f"cell-cycle length ({clock.units})"
    title = "Cell-cycle length by generation"
    return _strips(lengths, generations, x=x, label=label, title=title, unit=clock.unit, ended=ended)


def synchrony_chart(
    divisions: pd.DataFrame, generations: Sequence[int], *, frames: int, clock: Clock, ended: Sequence[int] = ()
) -> Raw | None:
    """When the nuclei of each generation divided; None without divisions.

    Of generations in which the movie `ended` dots are grey.
    """
    if not len(divisions):
        return None
    times = divisions.assign(value=divisions["t"].astype(float).map(clock.at))
    x = (clock.at(0), clock.at(max(frames - 1, 1)))
    title = "Times of division by generation"
    return _strips(times, generations, x=x, label=clock.axis, title=title, unit=clock.unit, frames=frames, ended=ended)


def sister_chart(divided: pd.DataFrame, generations: Sequence[int]) -> Raw | None:
    """Volume of the smaller sister over that of the larger, by generation of the mother; None if none is known.

    Parameters
    ----------
    divided : DataFrame
        See `tlseg.measure.criteria.Criteria.divisions`.
    generations : sequence of int
    """
    if "sister_volume_ratio" not in divided.columns:
        return None
    ratios = divided.rename(columns={"mother": "track", "sister_volume_ratio": "value"}).dropna(subset=["value"])
    if not len(ratios):
        return None
    return _strips(ratios, generations, x=(0.0, 1.0), label="smaller over larger sister", title="Sister size ratio")


def _strips(
    rows: pd.DataFrame,
    generations: Sequence[int],
    *,
    x: tuple[float, float],
    label: str,
    title: str,
    unit: str = "",
    frames: int | None = None,
    ended: Sequence[int] = (),
) -> Raw:
    """A row of dots for each generation, its median as a stroke; dots that would cover each other are stacked."""
    frame, y, names = _rows(generations)
    across = Scale(*x, *frame.x)
    step = max(1, -(-len(rows) // MOST_DOTS))
    drawn = []
    for generation, part in rows.sort_values(["value", "track"], kind="stable").groupby("generation"):
        level = y(generations.index(int(str(generation))))
        grey = " ended" if int(str(generation)) in ended else ""
        middle = across(float(part["value"].median()))
        part = part.iloc[::step]
        places = [across(float(value)) for value in part["value"]]
        lanes = _lanes(places)
        spread = min(2 * _DOT, 30.0 / (max(lanes, default=0) + 1))
        for (track, value), x_dot, lane in zip(
            part[["track", "value"]].itertuples(index=False), places, lanes, strict=True
        ):
            about = f"track {track}: {value:.3g} {unit}".rstrip()
            aside = (lane + 1) // 2 * (1 if lane % 2 else -1)
            at = (x_dot, level + aside * spread)
            dot = tag("circle", tag("title", about), cx=at[0], cy=at[1], r=_DOT, fill=hex_color(int(track)))
            drawn.append(tag("g", dot, data_track=int(track), class_=grey.strip() or None))
        drawn.append(tag("line", x1=middle, x2=middle, y1=level - 17, y2=level + 17, class_=f"median{grey}"))
    marks = ticks(*x, whole=unit == "frame")
    back = axes(frame, x=across, y=y, x_label=label, y_label="generation", x_ticks=marks, y_ticks=names)
    time = None if frames is None else Scale(0, frames - 1, *frame.x)
    return figure(frame, back, tag("g", *drawn, class_="labelled dots"), title=title, time=time)


def _lanes(places: Sequence[float]) -> list[int]:
    """For each dot, from left to right, the first lane in which it covers no other."""
    ends: list[float] = []
    lanes = []
    for x in places:
        lane = next((i for i, end in enumerate(ends) if x >= end), len(ends))
        ends[lane : lane + 1] = [x + 2 * _DOT]
        lanes.append(lane)
    return lanes


def _rows(generations: Sequence[int]) -> tuple[Frame, Scale, list[tuple[float, str]]]:
    """Frame, scale and names for a row for each generation, so that figures of the same generations can be compared."""
    count = len(generations)
    frame = Frame(height=74.0 + _ROW * max(count, 2))
    low, high = frame.y
    half = (low - high) / count / 2
    rows = Scale(0.0, float(max(count - 1, 1)), high + half, low - half if count > 1 else high + half)
    return frame, rows, [(float(i), f"gen {g}") for i, g in enumerate(generations)]
