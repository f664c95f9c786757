"""Is a value one that its field can have? What a field may hold, with the words for whoever wrote something else.

A rule never converts: what is written is right or refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from tlseg.errors import ModelError

MOST = sys.float_info.max
"""Above are infinity and whole numbers that no float holds; not-a-number is never below."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a value can be meant, and what was expected instead."""

    holds: Callable[[Any], bool]
    expected: str

    def check(self, name: str, value: Any) -> None:
        """Raise `ModelError` with the name of the field, its value and what was expected."""
        if not self.holds(value):
            raise ModelError(f"{name} is {_short(value)}; expected is {self.expected}.")


def one_of(*choices: Any) -> Rule:
    """One of these values; True is not 1, and 8.0 is not 8."""
    *others, last = (str(choice) for choice in choices)
    expected = f"{', '.join(others)} or {last}" if others else last
    return Rule(lambda v: any(type(v) is type(c) and v == c for c in choices), expected)


def between(low: float, high: float) -> Rule:
    """A number of this range, both ends included."""
    return Rule(lambda v: _is_number(v) and low <= v <= high, f"a number from {low:g} to {high:g}")


def below_1() -> Rule:
    """A number from 0 on that is less than 1."""
    return Rule(lambda v: _is_number(v) and 0 <= v < 1, "a number from 0 to less than 1")


def at_least_0() -> Rule:
    """A number that is no less than 0."""
    return Rule(lambda v: _is_number(v) and 0 <= v <= MOST, "a number of at least 0")


def positive() -> Rule:
    """A number above 0."""
    return Rule(lambda v: _is_number(v) and 0 < v <= MOST, "a number above 0")


def whole(least: int) -> Rule:
    """A whole number that is no less than this."""
    return Rule(lambda v: _is_whole(v) and v >= least, f"a whole number of at least {least}")


def three(rule: Rule) -> Rule:
    """Three values (z, y, x), each as the rule says."""

    def holds(values: Any) -> bool:
        return _is_list(values) and len(values) == 3 and all(rule.holds(v) for v in values)

    return Rule(holds, f"(z, y, x), each {rule.expected}")


def text() -> Rule:
    """Any text."""
    return Rule(lambda v: isinstance(v, str), "a text")


def file_name() -> Rule:
    """A file in the same folder, or "" where there is none: no path that leads elsewhere."""
    return Rule(
        lambda v: isinstance(v, str) and v not in (".", "..") and not set(v) & set("/\\\0"), "the name of a file"
    )


def mapping() -> Rule:
    """Names and what they stand for."""
    return Rule(lambda v: isinstance(v, Mapping) and all(isinstance(k, str) for k in v), "an object with names")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str)


def _short(value: Any, most: int = 60) -> str:
    said = repr(value)
    return said if len(said) <= most else f"{said[:most]}..."
