"""Which frame is each file of a series? The one number in which the names differ.

Only names that differ in nothing but one number count; a missing file is never passed over silently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from pathlib import Path

_FRAME = re.compile(r"(?:.*[-_. \d])?t(\d+)(?:\.ome)?\.tiff?", re.IGNORECASE)
_LISTED = 4


@dataclass(frozen=True, slots=True)
class FileNumbers:
    """Numbers of a series of files.

    Attributes
    ----------
    names : tuple of str
        File names, in the order of their numbers.
    values : tuple of int
        Number of each, ascending.
    at : (start, stop)
        Where the number is in the first name.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    at: tuple[int, int]

    @property
    def step(self) -> int:
        """Greatest step that leads to all of them, 1 for a single file."""
        return gcd(*(b - a for a, b in pairwise(self.values))) or 1

    @property
    def frames(self) -> tuple[int, ...]:
        """Frame of each file, the first one 0: as evenly spaced as their numbers."""
        return tuple((value - self.values[0]) // self.step for value in self.values)

    @property
    def missing(self) -> int:
        """How many steps have no file."""
        return self.frames[-1] + 1 - len(self.values)

    def missing_names(self) -> str:
        """Names of the first few missing files."""
        start, stop = self.at
        wide = stop - start
        names: list[str] = []
        for a, b in pairwise(self.values):
            for value in range(a + self.step, b, self.step):
                if len(names) == _LISTED:
                    return f"{', '.join(names)} and {self.missing - _LISTED} more"
                names.append(f"{self.names[0][:start]}{value:0{wide}d}{self.names[0][stop:]}")
        return ", ".join(names)

    def described(self) -> str:
        """Describe the first and last name, and the step if it is not 1."""
        every = "" if self.step == 1 else f", every {ordinal(self.step)} number"
        return f"{len(self.names)} files, {self.names[0]} to {self.names[-1]}{every}"


def numbers_of(files: Sequence[Path]) -> FileNumbers | None:
    """Read the numbers that a series of files runs through.

    Parameters
    ----------
    files : sequence of Path
        In order. A single file has a number where its name ends in `t` and digits, as `t010.tif` and `embryo_t010.tif` do.

    Returns
    -------
    FileNumbers or None
        None if names differ in more than one number, or do not ascend: then the frames are unknown.
    """
    names = tuple(file.name for file in files)
    if len(names) == 1:
        found = _FRAME.fullmatch(names[0])
        return None if found is None else FileNumbers(names, (int(found[1]),), found.span(1))
    parts = [re.split(r"(\d+)", name) for name in names]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return None
    differ = [k for k in range(1, len(parts[0]), 2) if len({part[k] for part in parts}) > 1]
    if len(differ) != 1:
        return None
    values = tuple(int(part[differ[0]]) for part in parts)
    if any(b <= a for a, b in pairwise(values)):
        return None
    start = len("".join(parts[0][: differ[0]]))
    return FileNumbers(names, values, (start, start + len(parts[0][differ[0]])))


def ordinal(number: int) -> str:
    """Number as in "every 50th"."""
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"
