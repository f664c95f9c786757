"""What a run says while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened: a stage of `total` units has `done` of them (a unit is a window, a block or a frame)."""

    stage: str
    done: int
    total: int
    voxels: int = 0


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""


class Counters:
    """Count units per stage and tell a listener."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.totals: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    def expect(self, stage: str, total: int) -> None:
        """Announce a stage."""
        self.totals[stage], self.counts[stage] = total, 0
        self.listener(Event(stage, 0, total))

    def add(self, stage: str, units: int = 1, *, voxels: int = 0) -> None:
        """Count units as done."""
        self.counts[stage] += units
        self.listener(Event(stage, self.counts[stage], self.totals[stage], voxels))
