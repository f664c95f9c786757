"""May a field hold this value? Rules for fields, with the words that say what was expected.

A field has its rule in its annotation. A rule never converts: a value is accepted as written or refused. Only numbers of
NumPy become Python's, which JSON can hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Number, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

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


def check_fields(settings: object, *, error: type[TlsegError]) -> None:
    """Raise `error` for the first field of a new, perhaps frozen dataclass that breaks its rule."""
    for name, rule in rules_of(type(settings)).items():
        value = _of_python(getattr(settings, name))
        rule.check(name, value, error=error)
        object.__setattr__(settings, name, value)


def rules_of(kind: type) -> Mapping[str, Rule]:
    """Rules of the fields of a dataclass, by name: the one in a field's annotation, or what its type alone says."""
    hints = get_type_hints(kind, include_extras=True)
    found = {field.name: _rule_of(hints[field.name]) for field in fields(kind)}
    return {name: rule for name, rule in found.items() if rule is not None}


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


def number() -> Rule:
    """Any finite number."""
    return Rule(lambda v: _is_number(v) and -MOST <= v <= MOST, "a finite number")


def at_least(least: float) -> Rule:
    """A number of at least this."""
    return Rule(lambda v: _is_number(v) and least <= v <= MOST, f"a number of at least {least:g}")


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
    return Rule(lambda v: _are(2, v, rule) and v[0] <= v[1], f"two values, the smaller first, each {rule.expected}")


def two(rule: Rule) -> Rule:
    """Two values that the rule accepts."""
    return Rule(lambda v: _are(2, v, rule), f"two values, each {rule.expected}")


def three(rule: Rule) -> Rule:
    """Three values (z, y, x) that the rule accepts."""
    return Rule(lambda v: _are(3, v, rule), f"(z, y, x), each {rule.expected}")


PositiveFloat = Annotated[float, positive()]
NonNegativeFloat = Annotated[float, at_least(0)]
FiniteFloat = Annotated[float, number()]
Share = Annotated[float, between(0, 1)]
ShareBelow1 = Annotated[float, Rule(lambda v: _is_number(v) and 0 <= v < 1, "a number from 0 to less than 1")]
PositiveInt = Annotated[int, whole(1)]
NonNegativeInt = Annotated[int, whole(0)]

FileName = Annotated[
    str, Rule(lambda v: isinstance(v, str) and v not in (".", "..") and not set(v) & set("/\\\0"), "a file name")
]
"""A file in the same folder, or "" if there is none; never a path that leads elsewhere."""


def _rule_of(hint: Any) -> Rule | None:
    """What a value of this type must be; None if the type says nothing."""
    origin, given = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return next(rule for rule in given if isinstance(rule, Rule))
    if origin in (Union, UnionType):
        (rule,) = (_rule_of(kind) for kind in given if kind is not NoneType)
        return None if rule is None else or_none(rule)
    if hint is bool or origin is Literal:
        return one_of(*(given or (True, False)))
    if origin is Mapping:
        return Rule(
            lambda v: isinstance(v, Mapping) and all(isinstance(k, str) for k in v), "an object with named values"
        )
    return Rule(lambda v: isinstance(v, str), "a string") if hint is str else None


def _of_python(value: Any) -> Any:
    """The same value, with numbers of Python instead of NumPy, also in a tuple."""
    if isinstance(value, tuple):
        return tuple(map(_of_python, value))
    return value.item() if isinstance(value, Number) and hasattr(value, "item") else value


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _are(count: int, values: Any, rule: Rule) -> bool:
    """Whether these are so many values that a rule accepts."""
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    return is_list and len(values) == count and all(rule.holds(value) for value in values)


def _short(value: Any, most: int = 60) -> str:
    said = repr(value)
    return said if len(said) <= most else f"{said[:most]}..."
