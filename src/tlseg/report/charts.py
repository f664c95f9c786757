"""Figures of a movie's nuclei over time: how many, how large, how bright.

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
from tlseg.report.svg import Frame, Raw, Scale, axes, figure, path, tag, tick_text, ticks
from tlseg.report.timing import Clock
from tlseg.wording import how_many

MOST_POINTS = 60_000
"""Most nuclei (in all frames together) for which each track has its own line; more are summarised."""

MOST_COUNTS = 60
"""Most frames whose counts have dots of their own."""

_LANE = 30.0  # pixels below zero, for the divisions
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
