"""What is drawn over the pictures: how long a micrometre is, and which axes a view shows."""

from __future__ import annotations

from tlseg.report.overlay import round_length
from tlseg.report.pictures import Layout
from tlseg.report.svg import Raw, tag

_COMPASS = 44  # pixels that it takes, its letters included
_LEAST_COMPASS = 0.5  # of its size, below which its letters cannot be read


def scale_bar(layout: Layout) -> Raw:
    """Bar over the right lower corner of the upper projection."""
    height, width = layout.top
    length = round_length(width * layout.um_per_pixel / 4)
    right, at, left = width - 14, height - 14, width - 14 - length / layout.um_per_pixel
    return tag(
        "g",
        tag("line", x1=left, x2=float(right), y1=at, y2=at, class_="bar"),
        tag("text", f"{length:g} µm", x=(left + right) / 2, y=at - 8),
    )


def compass(left: int, across: str, *, width: int) -> Raw:
    """Which axes a view `width` pixels wide shows, from its upper left corner: smaller in a narrow one, or left out."""
    scale = min(1.0, width / _COMPASS)
    if scale < _LEAST_COMPASS:
        return Raw("")
    arrows = "M8 8h19m-5 -3.5l5 3.5l-5 3.5M8 8v19m-3.5 -5l3.5 5l3.5 -5"
    return tag(
        "g",
        tag("path", d=arrows, class_="halo"),
        tag("path", d=arrows),
        tag("text", across, x=36, y=8, dy=".33em"),
        tag("text", "y", x=8, y=38, dy=".33em"),
        transform=f"translate({left} 0)" + (f" scale({scale:.3g})" if scale < 1 else ""),
        class_="compass",
    )
