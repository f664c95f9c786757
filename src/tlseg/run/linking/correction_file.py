"""Read corrections as a person writes them: a table with a line for each.

What is read is checked line by line, before any label is.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from tlseg.errors import LabelError
from tlseg.link.corrections import ACTIONS, Correction
from tlseg.store.labels.text import cells_in, text_in, whole_number

REQUIRED = ("action", "track")
OPTIONAL = ("first", "last", "other", "at")
_EXPECTED = (
    f"Expected a table with a header and the columns {', '.join(REQUIRED)} and, where an action needs them, "
    f"{', '.join(OPTIONAL)}."
)


def read_corrections(path: str | Path) -> tuple[Correction, ...]:
    """Read a table of corrections.

    Parameters
    ----------
    path
        Text separated by commas, semicolons or tabs, with a header. Columns: `action` (see `Correction`), `track`, `first`
        and `last` frame (empty: all before or after), `other`, and `at`, centres in micrometres (`z y x`, or `y x` in
        2D) separated by `/`. Others are ignored.

    Raises
    ------
    LabelError
        If it cannot be read, or a line is wrong; the message names it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise LabelError(f"{path} is not a file. {_EXPECTED}")
    lines = cells_in(path, text_in(path, expected=_EXPECTED), expected=_EXPECTED)
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    if any(header.count(name) != 1 for name in REQUIRED) or any(header.count(name) > 1 for name in OPTIONAL):
        raise LabelError(f"The header of {path} is {', '.join(header) or 'empty'}. {_EXPECTED}")
    if len(lines) == 1:
        raise LabelError(f"{path} has no corrections below its header.")
    return tuple(
        _correction(f"{path.name}, line {number}", dict(zip(header, map(str.strip, row), strict=False)))
        for number, row in lines[1:]
    )


def _correction(where: str, cells: dict[str, str]) -> Correction:
    action = next((known for known in ACTIONS if known == cells["action"].lower()), None)
    if action is None:
        raise LabelError(f"{where}: {cells['action']!r} is not an action. Expected one of {', '.join(ACTIONS)}.")
    track, first, last, other = (_number(where, name, cells.get(name, "")) for name in ("track", *OPTIONAL[:3]))
    if track is None:
        raise LabelError(f"{where}: no track is given. Expected the number of a nucleus.")
    if first is not None and last is not None and last < first:
        raise LabelError(f"{where}: the last frame, {last}, is before the first, {first}.")
    return Correction(action, track, first, last, other, _centres(where, cells.get("at", "")), where)


def _number(where: str, name: str, text: str) -> int | None:
    number = whole_number(text)
    if number is None:
        raise LabelError(f"{where}: {name} is {text!r}. Expected a whole number.")
    return number if text else None


def _centres(where: str, text: str) -> tuple[tuple[float, ...], ...]:
    try:
        points = tuple(tuple(float(v) for v in re.split(r"[\s,]+", part.strip())) for part in text.split("/") if text)
    except ValueError:
        points = ((),)
    if len({len(point) for point in points}) > 1 or not all(
        len(point) in (2, 3) and all(map(math.isfinite, point)) for point in points
    ):
        raise LabelError(f"{where}: at is {text!r}. Expected centres in micrometres, such as 10.5 40 33 / 14 52 35.")
    return points
