"""Figures of a movie's nuclei: how many, how large, how fast they divide and how much in step.

Each function takes small tables and gives one drawing; a figure that would say nothing is None.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.report.lineage_tree import hex_color
from tlseg.report.svg import Frame, Raw, Scale, axes, figure, path, tag, tick_text, ticks
from tlseg.report.timing import Clock

MOST_POINTS = 20_000
"""Nuclei (in all frames together) up to which each has its own line; more are summarised."""

MOST_DOTS = 1_500


def count_chart(
    counts: NDArray[np.integer], divisions: pd.DataFrame, clock: Clock, *, seen: range | None = None
) -> Raw:
    """Nuclei in each frame, and below them a mark for each division.

    Parameters
    ----------
    counts : ndarray of int, (frames,)
    divisions : DataFrame
        See `history.divisions`.
    clock : Clock
    seen : range, optional
        Frames that were segmented; all where not given.
    """
    frame = Frame(bottom=62)
    x, time = _time_scales(frame, len(counts), clock)
    y = Scale(0, max(int(counts.max(initial=1)), 1) * 1.08, frame.y[0] - 14, frame.y[1])
    points = [(x(clock.at(t)), y(int(n))) for t, n in _seen(counts, seen)]
    floor = frame.y[0]
    area = path([(points[0][0], floor), *points, (points[-1][0], floor)]) + "Z"
    marks = []
    for t, rows in divisions.groupby("t"):
        at, n = x(clock.at(int(str(t)))), len(rows)
        about = f"{n} division{'s' if n > 1 else ''} at frame {t} ({clock.text(int(str(t)))})"
        marks.append(tag("path", tag("title", about), d=f"M{at:.1f} {floor - 11:.1f}l4.5 10h-9Z", class_="division"))
    whole = [(v, tick_text(v)) for v in ticks(y.low, y.high, wanted=5, whole=True)]
    back = axes(frame, x=x, y=y, x_label=clock.axis, y_label="nuclei", y_ticks=whole)
    line = tag("path", d=path(points), class_="line")
    named = zip(points, _seen(counts, seen), strict=True)
    dots = tag("g", *(_dot(point, f"{n} nuclei, frame {t}") for point, (t, n) in named))
    shown = (dots,) if len(points) <= 60 else ()
    return figure(
        frame, back, tag("path", d=area, class_="area"), line, *shown, *marks, title="Nuclei over time", time=time
    )


def volume_chart(table: pd.DataFrame, *, frames: int, clock: Clock) -> Raw | None:
    """Volume of each nucleus over time; of very many nuclei the middle half and the median.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table with `volume_um3`.
    frames : int
    clock : Clock
    """
    if "volume_um3" not in table.columns or not len(table):
        return None
    frame = Frame()
    x, time = _time_scales(frame, frames, clock)
    y = Scale(0, float(table["volume_um3"].quantile(0.999)) * 1.08, *frame.y)
    back = axes(frame, x=x, y=y, x_label=clock.axis, y_label="volume (µm³)")
    if len(table) > MOST_POINTS:
        return figure(frame, back, *_band(table, x, y, clock), title="Volume over time", time=time)
    lines = []
    for track, rows in table.sort_values("t").groupby("track"):
        points = [(x(clock.at(t)), y(min(v, y.high))) for t, v in zip(rows["t"], rows["volume_um3"], strict=True)]
        name, color = int(str(track)), hex_color(int(str(track)))
        drawn = (
            tag("circle", cx=points[0][0], cy=points[0][1], r=1.8, fill=color)
            if len(points) == 1
            else tag("path", d=path(points), stroke=color)
        )
        lines.append(tag("g", tag("title", f"track {name}"), drawn, data_track=name))
    return figure(
        frame,
        back,
        tag("g", *lines, class_="labelled tracks thin"),
        title="Volume of each nucleus over time",
        time=time,
    )


def volume_by_generation(table: pd.DataFrame) -> Raw | None:
    """Volumes of each generation: median, middle half, and 5 to 95 %."""
    if "volume_um3" not in table.columns or not len(table):
        return None
    groups = {int(str(g)): rows["volume_um3"].to_numpy(float) for g, rows in table.groupby("generation")}
    frame = Frame(height=_rows_height(len(groups)))
    high = max(float(np.quantile(v, 0.95)) for v in groups.values()) * 1.08
    x = Scale(0, high, *frame.x)
    y = _row_scale(frame, len(groups))
    drawn = []
    for row, (generation, values) in enumerate(sorted(groups.items())):
        five, low, middle, upper, most = (x(float(q)) for q in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
        at = y(row)
        about = f"generation {generation}: median {np.median(values):,.0f} µm³ of {len(values)} nuclei in frames"
        drawn += [
            tag("line", x1=five, x2=most, y1=at, y2=at, class_="whisker"),
            tag("rect", tag("title", about), x=low, width=max(upper - low, 1.0), y=at - 9, height=18, class_="box"),
            tag("line", x1=middle, x2=middle, y1=at - 9, y2=at + 9, class_="median"),
        ]
    names = [(float(i), f"gen {g}") for i, g in enumerate(sorted(groups))]
    back = axes(frame, x=x, y=y, x_label="volume (µm³)", y_label="generation", y_ticks=names)
    return figure(frame, back, *drawn, title="Volume by generation")


def cycle_chart(cycles: pd.DataFrame, clock: Clock) -> Raw | None:
    """Length of each complete cell cycle, by generation; None where no nucleus was followed through one."""
    if not len(cycles):
        return None
    lengths = cycles.assign(value=cycles["length"].astype(float).map(clock.at))
    high = float(lengths["value"].max()) * 1.1
    label = f"cell-cycle length ({'frames' if clock.unit == 'frame' else clock.unit})"
    return _strips(lengths, low=0.0, high=high, label=label, title="Cell-cycle length by generation", clock=clock)


def synchrony_chart(divisions: pd.DataFrame, *, frames: int, clock: Clock) -> Raw | None:
    """When the nuclei of each generation divided; None without divisions."""
    if not len(divisions):
        return None
    times = divisions.assign(value=divisions["t"].astype(float).map(clock.at))
    high = clock.at(max(frames - 1, 1))
    return _strips(
        times, low=0.0, high=high, label=clock.axis, title="Times of division by generation", clock=clock, frames=frames
    )


def sister_chart(divided: pd.DataFrame, clock: Clock) -> Raw | None:
    """Volume of the smaller sister over that of the larger, by generation of the mother; None where none is known.

    Parameters
    ----------
    divided : DataFrame
        See `tlseg.measure.criteria.Criteria.divisions`.
    clock : Clock
    """
    if "sister_volume_ratio" not in divided.columns:
        return None
    ratios = divided.rename(columns={"mother": "track", "sister_volume_ratio": "value"}).dropna(subset=["value"])
    if not len(ratios):
        return None
    return _strips(
        ratios, low=0.0, high=1.0, label="smaller over larger sister", title="Sister asymmetry", clock=clock, unit=""
    )


def _strips(
    rows: pd.DataFrame,
    *,
    low: float,
    high: float,
    label: str,
    title: str,
    clock: Clock,
    frames: int | None = None,
    unit: str | None = None,
) -> Raw:
    """A row of dots for each generation, its median as a stroke; equal values are stacked."""
    groups = {int(str(g)): part for g, part in rows.groupby("generation")}
    frame = Frame(height=_rows_height(len(groups)))
    x, y = Scale(low, high, *frame.x), _row_scale(frame, len(groups))
    drawn = []
    for row, (_, part) in enumerate(sorted(groups.items())):
        step = max(1, -(-len(part) // MOST_DOTS))
        part = part.sort_values("value", kind="stable")
        middle = x(float(part["value"].median()))
        part = part.iloc[::step]
        rank = part.groupby("value").cumcount().to_numpy()
        most = int(rank.max(initial=0)) + 1
        spread = min(6.0, 34.0 / most)
        centre = part.groupby("value")["value"].transform("size").to_numpy()
        for (track, value), i, n in zip(part[["track", "value"]].itertuples(index=False), rank, centre, strict=True):
            about = f"track {track}: {value:.3g} {clock.unit if unit is None else unit}".rstrip()
            at = (x(float(value)), y(row) + (i - (n - 1) / 2) * spread)
            dot = tag("circle", tag("title", about), cx=at[0], cy=at[1], r=4.0, fill=hex_color(int(track)))
            drawn.append(tag("g", dot, data_track=int(track)))
        drawn.append(tag("line", x1=middle, x2=middle, y1=y(row) - 20, y2=y(row) + 20, class_="median"))
    names = [(float(i), f"gen {g}") for i, g in enumerate(sorted(groups))]
    back = axes(frame, x=x, y=y, x_label=label, y_label="generation", y_ticks=names)
    time = None if frames is None else Scale(0, frames - 1, *frame.x)
    return figure(frame, back, tag("g", *drawn, class_="labelled dots"), title=title, time=time)


def _band(table: pd.DataFrame, x: Scale, y: Scale, clock: Clock) -> list[Raw]:
    volumes = table.groupby("t")["volume_um3"]
    at = [x(clock.at(int(str(t)))) for t in volumes.groups]
    low, middle, high = ([y(v) for v in volumes.quantile(q)] for q in (0.25, 0.5, 0.75))
    around = [*zip(at, high, strict=True), *zip(at[::-1], low[::-1], strict=True)]
    return [
        tag("path", d=path(around) + "Z", class_="area"),
        tag("path", d=path(zip(at, middle, strict=True)), class_="line"),
    ]


def _time_scales(frame: Frame, frames: int, clock: Clock) -> tuple[Scale, Scale]:
    """Times to pixels, and frames to pixels."""
    return Scale(0.0, clock.at(max(frames - 1, 1)), *frame.x), Scale(0, frames - 1, *frame.x)


def _rows_height(rows: int) -> float:
    return 74.0 + 54.0 * max(rows, 2)


def _row_scale(frame: Frame, rows: int) -> Scale:
    low, high = frame.y
    half = (low - high) / rows / 2
    return Scale(0.0, float(max(rows - 1, 1)), high + half, low - half if rows > 1 else high + half)


def _seen(counts: NDArray[np.integer], seen: range | None) -> list[tuple[int, int]]:
    return [(t, int(counts[t])) for t in (range(len(counts)) if seen is None else seen)]


def _dot(at: tuple[float, float], about: str) -> Raw:
    return tag("circle", tag("title", about), cx=at[0], cy=at[1], r=2.6, class_="point")
