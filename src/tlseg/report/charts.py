"""Figures of a movie's nuclei: how many, how large, how fast they divide and how much in step.

Each function takes small tables and gives one drawing; a figure that would say nothing is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.measure.criteria import frame_criteria
from tlseg.report.channels import values_of
from tlseg.report.pixels import hex_color
from tlseg.report.svg import Frame, Raw, Scale, axes, figure, path, size_text, tag, tick_text, ticks
from tlseg.report.timing import Clock
from tlseg.wording import how_many

MOST_POINTS = 60_000
"""Most nuclei (in all frames together) for which each track has its own line; more are summarised."""

MOST_DOTS = 1_500
"""Most dots in one figure; of more, every n-th by value is drawn."""

MOST_COUNTS = 60
"""Most frames whose counts have dots of their own."""

_LANE = 30.0  # pixels below zero, for the divisions
_ROW = 44.0  # pixels of a generation
_DOT = 4.0  # radius of a dot
_LEAST_RANGE = 0.05  # of its values, that an axis spans: less than that is shown as flat


def count_chart(
    counts: NDArray[np.integer], divisions: pd.DataFrame, clock: Clock, *, seen: Sequence[int] | None = None
) -> Raw:
    """Nuclei in each frame, and below them a bar for the divisions of each.

    Parameters
    ----------
    counts : ndarray of int, (frames,)
    divisions : DataFrame
        See `history.divisions`.
    clock : Clock
    seen : sequence of int, optional
        Frames that were segmented, ascending; all if not given.
    """
    frame = Frame()
    x, time = _time_scales(frame, len(counts), clock)
    floor = frame.y[0]
    y = Scale(0, max(int(counts.max(initial=1)), 1) * 1.08, floor - _LANE, frame.y[1])
    frames = range(len(counts)) if seen is None else seen
    points = [(x(clock.at(t)), y(int(counts[t]))) for t in frames]
    area = path([(points[0][0], y(0)), *points, (points[-1][0], y(0))]) + "Z"
    whole = [(v, tick_text(v)) for v in ticks(y.low, y.high, wanted=5, whole=True)]
    back = axes(frame, x=x, y=y, x_label=clock.axis, y_label="nuclei", x_ticks=clock.ticks(len(counts)), y_ticks=whole)
    line = tag("path", d=path(points), class_="line")
    dots = []
    for t, (left, top) in zip(frames, points, strict=True) if len(points) <= MOST_COUNTS else ():
        about = f"{how_many(int(counts[t]), 'nucleus', 'nuclei')}, frame {clock.number(t)}"
        dots.append(tag("circle", tag("title", about), cx=left, cy=top, r=2.6, class_="point"))
    marks = _division_bars(divisions, x, floor=floor, per_frame=x(clock.at(1)) - x(clock.at(0)), clock=clock)
    drawn = [tag("path", d=area, class_="area"), line, tag("g", *dots), *marks]
    return figure(frame, back, *drawn, title="Nuclei over time", time=time)


def volume_chart(table: pd.DataFrame, *, frames: int, clock: Clock) -> Raw | None:
    """Volume of each nucleus over time, and the mean of each frame with its standard deviation.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table with `volume_um3`. Of very many nuclei only means are drawn.
    frames : int
    clock : Clock
    """
    if "volume_um3" not in table.columns or not len(table):
        return None
    return _over_time(
        table,
        "volume_um3",
        y=(0.0, _highest(table, "volume_um3", frames) * 1.08),
        frames=frames,
        clock=clock,
        label="volume (µm³)",
        title="Volume of nuclei over time",
        lines=len(table) <= MOST_POINTS,
    )


def intensity_chart(
    table: pd.DataFrame, column: str, *, frames: int, clock: Clock, title: str, lines: bool
) -> Raw | None:
    """Grey values of each nucleus over time, and the mean of each frame with its standard deviation; None without values.

    The axis includes 0 unless all values lie in a narrow range far from it; then its label says so.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table with this column; values that are missing or infinite are left out.
    column : str
    frames : int
    clock : Clock
    title : str
    lines : bool
        Whether each track has its own line.
    """
    known = table[["t", "track"]].assign(**{column: values_of(table, column)})
    if not known[column].notna().any():
        return None
    low, high = _intensity_axis(*known[column].quantile([0.001, 0.999]))
    label = "mean grey value" if low <= 0 <= high else "mean grey value (not from 0)"
    return _over_time(known, column, y=(low, high), frames=frames, clock=clock, label=label, title=title, lines=lines)


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
    label = f"cell-cycle length ({'frames' if clock.unit == 'frame' else clock.unit})"
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


def _division_bars(divisions: pd.DataFrame, x: Scale, *, floor: float, per_frame: float, clock: Clock) -> list[Raw]:
    """A bar for each frame in which nuclei divided, as high as there are divisions."""
    if not len(divisions):
        return []
    numbers = divisions.groupby("t").size()
    wide = max(1.2, min(6.0, 0.7 * per_frame))
    drawn = [tag("text", "divisions", x=x.start - 7, y=floor - 3, text_anchor="end")]
    for t, n in zip(numbers.index.to_numpy(), numbers.to_numpy(), strict=True):
        high = max(4.0, (_LANE - 6) * n / numbers.max())
        about = f"{n} division{'s' if n > 1 else ''} at frame {clock.number(t)} ({clock.moment(int(t))})"
        shape = f"M{x(clock.at(int(t))) - wide / 2:.1f} {floor:.1f}v{-high:.1f}h{wide:.1f}v{high:.1f}Z"
        drawn.append(tag("path", tag("title", about), d=shape, class_="division"))
    return drawn


def _over_time(
    table: pd.DataFrame,
    column: str,
    *,
    y: tuple[float, float],
    frames: int,
    clock: Clock,
    label: str,
    title: str,
    lines: bool,
) -> Raw:
    """A quantity over time: thin lines of tracks, a thick mean, and a band of one standard deviation on both sides."""
    frame = Frame()
    x, time = _time_scales(frame, frames, clock)
    up = Scale(*y, *frame.y)
    spread = frame_criteria(table[["t", column]], frames=frames).set_index("t")
    middle, deviation = spread[f"{column}_mean"].to_numpy(), spread[f"{column}_std"].to_numpy()
    back = axes(frame, x=x, y=up, x_label=clock.axis, y_label=label, x_ticks=clock.ticks(frames))
    parts = [tag("g", *_track_lines(table, column, x, up, clock), class_="labelled tracks thin")] if lines else []
    for run in _runs(np.isfinite(middle)):
        at = [x(clock.at(t)) for t in run]
        mean = [_inside(up, v) for v in middle[run]]
        upper = [_inside(up, v) for v in (middle + deviation)[run]]
        lower = [_inside(up, v) for v in (middle - deviation)[run]]
        if len(run) == 1:
            parts.append(tag("line", x1=at[0], x2=at[0], y1=lower[0], y2=upper[0], class_="whisker"))
            parts.append(tag("circle", cx=at[0], cy=mean[0], r=3.6, class_="mean"))
            continue
        band = [*zip(at, upper, strict=True), *zip(at[::-1], lower[::-1], strict=True)]
        parts.insert(0, tag("path", d=path(band) + "Z", class_="area"))
        parts.append(tag("path", d=path(zip(at, mean, strict=True)), class_="mean"))
    return figure(frame, back, *parts, title=title, time=time)


def _track_lines(table: pd.DataFrame, column: str, x: Scale, y: Scale, clock: Clock) -> list[Raw]:
    """A line for each track, in pieces where values are missing; a dot where there is one value only."""
    drawn = []
    for track, rows in table.sort_values("t").groupby("track"):
        t, values = rows["t"].to_numpy(np.int64), rows[column].to_numpy(np.float64)
        color, pieces = hex_color(int(str(track))), []
        for run in _runs(np.isfinite(values)):
            points = [(x(clock.at(int(t[i]))), _inside(y, values[i])) for i in run]
            pieces.append(
                tag("circle", cx=points[0][0], cy=points[0][1], r=1.8, fill=color)
                if len(points) == 1
                else tag("path", d=path(points), stroke=color)
            )
        if pieces:
            drawn.append(tag("g", tag("title", f"track {track}"), *pieces, data_track=int(str(track))))
    return drawn


def _inside(scale: Scale, value: float) -> float:
    """Pixel of a value, or of the end of the scale beyond which it lies."""
    return scale(min(max(float(value), scale.low), scale.high))


def _highest(table: pd.DataFrame, column: str, frames: int) -> float:
    """Upper end of what is drawn of a quantity: the means of very many nuclei, else all but the very largest values."""
    if len(table) <= MOST_POINTS:
        return float(table[column].quantile(0.999))
    spread = frame_criteria(table[["t", column]], frames=frames)
    return float((spread[f"{column}_mean"] + spread[f"{column}_std"]).max())


def _intensity_axis(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis on which values from `low` to `high` can be told apart, with 0 unless it lies far away."""
    size = max(abs(low), abs(high)) or 1.0
    if low >= 0 and low <= 0.5 * high:
        return 0.0, high * 1.08 or 1.0
    if high <= 0 and high >= 0.5 * low:
        return low * 1.08, 0.0
    least = _LEAST_RANGE * size
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _runs(there: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Indices of each run of frames in which something is there."""
    at = np.flatnonzero(there)
    return [run for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(run)]


def _time_scales(frame: Frame, frames: int, clock: Clock) -> tuple[Scale, Scale]:
    """Times to pixels, and frames to pixels."""
    return Scale(clock.at(0), clock.at(max(frames - 1, 1)), *frame.x), Scale(0, frames - 1, *frame.x)


def _rows(generations: Sequence[int]) -> tuple[Frame, Scale, list[tuple[float, str]]]:
    """Frame, scale and names for a row for each generation, so that figures of the same generations can be compared."""
    count = len(generations)
    frame = Frame(height=74.0 + _ROW * max(count, 2))
    low, high = frame.y
    half = (low - high) / count / 2
    rows = Scale(0.0, float(max(count - 1, 1)), high + half, low - half if count > 1 else high + half)
    return frame, rows, [(float(i), f"gen {g}") for i, g in enumerate(generations)]
