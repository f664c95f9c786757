"""May a field hold this value? Rules for fields, with the words that say what was expected.

A rule never converts: a value is accepted as written or refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from tlseg.errors import ModelError, TlsegError

MOST = sys.float_info.max
"""Beyond it lie infinity and whole numbers that no float holds; NaN never compares as below."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a value is valid, and what was expected instead."""

    holds: Callable[[Any], bool]
    expected: str

    def check(self, name: str, value: Any, *, error: type[TlsegError] = ModelError) -> None:
        """Raise `error` with the name of the field, its value and what was expected."""
        if not self.holds(value):
            raise error(f"{name} is {_short(value)}; expected {self.expected}.")


def check_fields(settings: object, rules: Mapping[str, Rule], *, error: type[TlsegError]) -> None:
    """Raise `error` for the first field of `settings` that breaks its rule."""
    for name, rule in rules.items():
        rule.check(name, getattr(settings, name), error=error)


def one_of(*choices: Any) -> Rule:
    """One of these values; True is not 1, and 8.0 is not 8."""
    *others, last = (str(choice) for choice in choices)
    expected = f"{', '.join(others)} or {last}" if others else last
    return Rule(lambda v: any(type(v) is type(c) and v == c for c in choices), expected)


def between(low: float, high: float) -> Rule:
    """A number in this range, both ends included."""
    return Rule(lambda v: _is_number(v) and low <= v <= high, f"a number from {low:g} to {high:g}")


def inside(low: float, high: float) -> Rule:
    """A number strictly between these."""
    return Rule(lambda v: _is_number(v) and low < v < high, f"a number above {low:g} and below {high:g}")


def below_1() -> Rule:
    """A number from 0 to less than 1."""
    return Rule(lambda v: _is_number(v) and 0 <= v < 1, "a number from 0 to less than 1")


def number() -> Rule:
    """Any finite number."""
    return Rule(lambda v: _is_number(v) and -MOST <= v <= MOST, "a finite number")


def at_least(least: float) -> Rule:
    """A number of at least this."""
    return Rule(lambda v: _is_number(v) and least <= v <= MOST, f"a number of at least {least:g}")


def at_least_0() -> Rule:
    """A number of at least 0."""
    return at_least(0)


def positive() -> Rule:
    """A number above 0."""
    return Rule(lambda v: _is_number(v) and 0 < v <= MOST, "a number above 0")


def whole(least: int) -> Rule:
    """A whole number of at least this."""
    return Rule(lambda v: _is_whole(v) and v >= least, f"a whole number of at least {least}")


def whole_between(low: int, high: int) -> Rule:
    """A whole number in this range, both ends included."""
    return Rule(lambda v: _is_whole(v) and low <= v <= high, f"a whole number from {low} to {high}")


def or_none(rule: Rule) -> Rule:
    """A value that the rule accepts, or None."""
    return Rule(lambda v: v is None or rule.holds(v), f"{rule.expected}, or None")


def rising(rule: Rule) -> Rule:
    """Two values that the rule accepts, the smaller one first."""

    def holds(values: Any) -> bool:
        return _is_list(values) and len(values) == 2 and all(rule.holds(v) for v in values) and values[0] <= values[1]

    return Rule(holds, f"two values, the smaller first, each {rule.expected}")


def two(rule: Rule) -> Rule:
    """Two values that the rule accepts."""
    return Rule(
        lambda v: _is_list(v) and len(v) == 2 and all(rule.holds(one) for one in v),
        f"two values, each {rule.expected}",
    )


def three(rule: Rule) -> Rule:
    """Three values (z, y, x) that the rule accepts."""

    def holds(values: Any) -> bool:
        return _is_list(values) and len(values) == 3 and all(rule.holds(v) for v in values)

    return Rule(holds, f"(z, y, x), each {rule.expected}")


def text() -> Rule:
    """Any string."""
    return Rule(lambda v: isinstance(v, str), "a string")


def file_name() -> Rule:
    """The name of a file in the same folder, or "" if there is none; never a path that leads elsewhere."""
    return Rule(lambda v: isinstance(v, str) and v not in (".", "..") and not set(v) & set("/\\\0"), "a file name")


def mapping() -> Rule:
    """A mapping from names to values."""
    return Rule(lambda v: isinstance(v, Mapping) and all(isinstance(k, str) for k in v), "an object with named values")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str)


def _short(value: Any, most: int = 60) -> str:
    said = repr(value)
    return said if len(said) <= most else f"{said[:most]}..."
