"""How is a quantity spread over the nuclei of one frame?

Bars begin and end at round values. Nuclei that the frame's edge cuts stand on top of the others, dashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tlseg.report.svg import Frame, Raw, Scale, axes, figure, size_text, tag, tick_text, ticks
from tlseg.wording import how_many

_BARS = (8, 30)  # about how many of them, at least and at most
_FAR = 6.0  # interquartile ranges above the upper quartile, beyond which values may share the last bar
_CROWDED = 2.0  # times as long an axis with which they do, because they would crowd all others


@dataclass(frozen=True, slots=True)
class Spread:
    """Nuclei by a quantity.

    Attributes
    ----------
    edges : (n + 1,) float
        Round values between which bars lie, each with its lower end.
    whole, cut : (n,) int
        Nuclei in each, those that the frame's edge does not cut and those that it cuts.
    beyond : int
        Nuclei above the last edge, counted in the last bar.
    median : float or None
        Of the nuclei that are not cut, None if there are none.
    """

    edges: NDArray[np.float64]
    whole: NDArray[np.int64]
    cut: NDArray[np.int64]
    beyond: int
    median: float | None


def spread_of(values: NDArray[np.float64], cut: NDArray[np.bool_], *, low: float | None = None) -> Spread | None:
    """Count nuclei between round values; None without values.

    Parameters
    ----------
    values : (n,) float
        Those that are not finite are left out.
    cut : (n,) bool
        Nuclei that the frame's edge cuts.
    low : float, optional
        Where the axis begins at the latest, such as 0; the least value if not given.
    """
    known = np.isfinite(values)
    values, cut = values[known], cut[known]
    if not len(values):
        return None
    quarter, upper = np.quantile(values, (0.25, 0.75))
    least = float(values.min()) if low is None else min(low, float(values.min()))
    most, far = float(values.max()), float(upper + _FAR * (upper - quarter))
    crowded = far > quarter and most - least > _CROWDED * (far - least)
    edges = _round_edges(least, far if crowded else most, len(values))
    bar = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    whole = values[~cut]
    return Spread(
        edges=edges,
        whole=np.bincount(bar[~cut], minlength=len(edges) - 1),
        cut=np.bincount(bar[cut], minlength=len(edges) - 1),
        beyond=int((values >= edges[-1]).sum()),
        median=float(np.median(whole)) if len(whole) else None,
    )


def histogram(spread: Spread, *, label: str, unit: str, title: str) -> Raw:
    """Draw it, the median of whole nuclei as a stroke.

    Parameters
    ----------
    spread : Spread
    label : str
        What the axis shows, with its unit.
    unit : str
        The unit alone, may be empty.
    title : str
    """
    frame = Frame(top=24)
    x = Scale(float(spread.edges[0]), float(spread.edges[-1]), *frame.x)
    y = Scale(0.0, float((spread.whole + spread.cut).max()) * 1.08, *frame.y)
    whole_numbers = [(v, tick_text(v)) for v in ticks(y.low, y.high, wanted=5, whole=True)]
    back = axes(frame, x=x, y=y, x_label=label, y_label="nuclei", y_ticks=whole_numbers)
    drawn = []
    for i, (a, b) in enumerate(pairwise(spread.edges.tolist())):
        whole, cut = int(spread.whole[i]), int(spread.cut[i])
        more = " or more" if spread.beyond and i == len(spread.whole) - 1 else ""
        about = f"{tick_text(a)} to {tick_text(b)}{more}{unit and ' '}{unit}: "
        drawn += [
            _bar((x(a), x(b)), (y(0), y(whole)), about + how_many(whole, "nucleus", "nuclei"), "box"),
            _bar((x(a), x(b)), (y(whole), y(whole + cut)), about + f"{cut:,} cut by the frame's edge", "box cut"),
        ]
    marks = [] if spread.median is None else _median(spread.median, f"{_apart(spread.median)} {unit}", frame, x)
    return figure(frame, back, *(bar for bar in drawn if bar), *marks, title=title)


def _bar(across: Sequence[float], up: Sequence[float], about: str, kind: str) -> Raw | None:
    high = up[0] - up[1]
    size = {"x": across[0] + 0.5, "width": across[1] - across[0] - 1.0, "y": up[1], "height": high}
    return tag("rect", tag("title", about), **size, class_=kind) if high else None


def _apart(value: float) -> str:
    """Size as the axis writes it."""
    return size_text(value).replace(",", "\u202f")


def _median(value: float, text: str, frame: Frame, x: Scale) -> list[Raw]:
    at, (low, high) = x(min(value, x.high)), frame.y
    side = "end" if at > sum(frame.x) / 2 else "start"
    return [
        tag("line", x1=at, x2=at, y1=low, y2=high, class_="median"),
        tag("text", f"median {text}".rstrip(), x=at, y=high - 7, text_anchor=side, class_="axis-label"),
    ]


def _round_edges(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Round values from `low` or less to more than `high`, in steps that suit so many nuclei."""
    if not high > low:
        around = abs(low) / 10 or 1.0
        low, high = low - around, high + around
    fewest, most = _BARS
    marks = ticks(low, high, wanted=int(min(most, max(fewest, 2 * math.sqrt(count)))))
    step = marks[1] - marks[0]
    first, last = math.floor(low / step + 1e-9), math.floor(high / step + 1e-9) + 1
    return np.arange(first, last + 1, dtype=np.float64) * step
