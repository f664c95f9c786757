"""Draw with SVG text: elements, scales and axes that every figure shares.

Everything that is put into an element is escaped, so text from files cannot become markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

Points = Iterable[tuple[float, float]]

_VOID = ("img", "input", "meta")
"""Elements of HTML that have no end."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Finished markup that must not be escaped again."""

    text: str

    def __str__(self) -> str:
        return self.text


def tag(name: str, /, *children: object, **attributes: object) -> Raw:
    """One element of SVG or HTML; text children and attribute values are escaped, `Raw` children are taken as they are.

    Attributes that are None are left out; `class_` becomes `class`, and other underscores hyphens.
    """
    head = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Raw(f"<{name}{head}>")
    inner = "".join(child.text if isinstance(child, Raw) else escape(str(child)) for child in children)
    return Raw(f"<{name}{head}>{inner}</{name}>")


def join(parts: Iterable[Raw]) -> Raw:
    """Parts one after the other."""
    return Raw("".join(part.text for part in parts))


def number(value: float) -> str:
    """Coordinate with a tenth of a pixel at most."""
    return f"{value:.1f}".removesuffix(".0")


def path(points: Points) -> str:
    """Path data of a line through points (x, y)."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


@dataclass(frozen=True, slots=True)
class Scale:
    """Straight map from values `low` to `high` onto pixels `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        span = self.high - self.low
        return self.start + (self.stop - self.start) * ((value - self.low) / span if span else 0.5)


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of a figure and the plot area inside its margins, pixels."""

    width: float = 480
    height: float = 290
    left: float = 74
    right: float = 24
    top: float = 14
    bottom: float = 50

    @property
    def x(self) -> tuple[float, float]:
        """Left and right edge of the plot area."""
        return self.left, self.width - self.right

    @property
    def y(self) -> tuple[float, float]:
        """Lower and upper edge of the plot area."""
        return self.height - self.bottom, self.top


def ticks(low: float, high: float, *, wanted: int = 6, whole: bool = False) -> list[float]:
    """Round values between `low` and `high`, about `wanted` of them, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """Value with thousands apart and no needless digits."""
    text = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace(",", "\u202f")


def decimals(value: float) -> int:
    """Digits behind the point with which a size has two digits in all; none from 10 on."""
    return 1 - math.floor(math.log10(value)) if 0 < value < 10 else 0


def size_text(value: float) -> str:
    """Size with thousands apart and two digits at least: the nuclei of yeast have a few cubic micrometres."""
    return f"{value:,.{decimals(value)}f}"


def axes(
    frame: Frame,
    *,
    x: Scale,
    y: Scale,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[float] | None = None,
    y_ticks: Sequence[tuple[float, str]] | None = None,
) -> Raw:
    """Grid lines, tick labels and both axis labels.

    Parameters
    ----------
    frame : Frame
        Size and margins.
    x, y : Scale
        Values to pixels.
    x_label, y_label : str
        What the axes show, with units.
    x_ticks : sequence of float, optional
        Values marked along x; round ones by default.
    y_ticks : sequence of (float, str), optional
        Values marked along y and their text; round numbers by default.
    """
    (left, right), (low, high) = frame.x, frame.y
    parts = []
    y_marks = y_ticks if y_ticks is not None else [(v, tick_text(v)) for v in ticks(y.low, y.high, wanted=5)]
    for value, text in y_marks:
        at = number(y(value))
        parts.append(tag("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", text, x=left - 7, y=at, dy=".33em", text_anchor="end"))
    for value in x_ticks if x_ticks is not None else ticks(x.low, x.high, wanted=6):
        at = number(x(value))
        parts.append(tag("line", x1=at, x2=at, y1=low, y2=low + 4, class_="axis"))
        parts.append(tag("text", tick_text(value), x=at, y=low + 8, dy=".8em", text_anchor="middle"))
    parts.append(tag("line", x1=left, x2=right, y1=low, y2=low, class_="axis"))
    middle = number((low + high) / 2)
    parts.append(
        tag("text", x_label, x=(left + right) / 2, y=frame.height - 8, text_anchor="middle", class_="axis-label")
    )
    turned = f"translate(14 {middle}) rotate(-90)"
    parts.append(tag("text", y_label, transform=turned, text_anchor="middle", class_="axis-label"))
    return tag("g", *parts, class_="axes")


def figure(frame: Frame, *parts: Raw, title: str, class_: str = "", time: Scale | None = None) -> Raw:
    """A whole drawing that scales with the page; `title` is read aloud by screen readers.

    With `time` the drawing carries where frames lie along x, so that the page can mark the frame that is shown.
    """
    place = {} if time is None else {"data_low": time.low, "data_high": time.high}
    if time is not None:
        place |= {"data_start": time.start, "data_stop": time.stop}
        low, high = frame.y
        parts = (*parts, tag("line", x1=time.start, x2=time.start, y1=low, y2=high, class_="cursor"))
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {number(frame.width)} {number(frame.height)}",
        role="img",
        aria_label=title,
        class_=f"figure {class_}".strip(),
        **place,
    )


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else escape(str(value))
