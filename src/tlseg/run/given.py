"""Is a value from Python one that the command line could have passed? Asked before any work."""

from __future__ import annotations

from numbers import Integral
from typing import Any, get_args

from tlseg.errors import PlanError
from tlseg.predict.infer import Device


def is_count(value: Any, *, least: int) -> bool:
    """Whether a value is a whole number that is no less than this."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def check_crew(workers: int, device: Device) -> None:
    """Raise `PlanError` where nobody could do the work as asked."""
    if not is_count(workers, least=0):
        raise PlanError(f"workers is {workers!r}. Expected a whole number of processes, 0 for this one alone.")
    if device not in get_args(Device):
        raise PlanError(f"device is {device!r}. Expected one of {', '.join(get_args(Device))}.")


def check_memory(limit_bytes: int | None) -> None:
    """Raise `PlanError` where a limit is no number of bytes."""
    if limit_bytes is not None and not is_count(limit_bytes, least=1):
        raise PlanError(f"The memory limit is {limit_bytes!r}. Expected a whole number of bytes, such as 8 * 2**30.")
