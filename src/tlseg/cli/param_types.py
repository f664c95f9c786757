"""Types of the values that options take: what is refused, and in which words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

SEED = click.IntRange(0, 2**31 - 1)
"""Seeds that every generator of random numbers takes."""


class FiniteRange(click.FloatRange):
    """A number in a range; NaN and infinity, which click lets pass, are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse the text."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class LocalPath(click.Path):
    """A path of this machine; a URL, of which pathlib would make a folder, is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text."""
        if "://" in str(value):
            self.fail(f"{value!r} is a URL; give a local path", param, ctx)
        return super().convert(value, param, ctx)


class RequiredChoice(click.Choice):
    """One of several words that must be given; if it is not, the words are listed in the line that says so."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what to choose from."""
        return f"Choose from: {', '.join(map(str, self.choices))}."


class TripleType(click.ParamType):
    """`Z,Y,X`: three positive numbers, all integers or all floats."""

    name = "Z,Y,X"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        """Parse the text; a value that is already a tuple passes."""
        if isinstance(value, tuple):
            return value
        try:
            z, y, x = (self.kind(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not three numbers Z,Y,X separated by commas", param, ctx)
        if not all(0 < v < float("inf") for v in (z, y, x)):
            self.fail(f"{value!r}: all three numbers must be positive and finite", param, ctx)
        return (z, y, x)


class SpacingType(click.ParamType):
    """`Z,Y,X` or, for 2D movies, `Y,X`: positive numbers."""

    name = "Z,Y,X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Parse the text; a value that is already a tuple passes."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (2, 3) or not all(0 < v < float("inf") for v in numbers):
            self.fail(
                f"{value!r} is not Z,Y,X (or Y,X for a 2D movie): positive micrometres separated by commas", param, ctx
            )
        return numbers
