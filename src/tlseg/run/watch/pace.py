"""How long will it take? Estimated from seconds of work, never from the elapsed time of a stage.

Stages that overlap wait for each other, and their elapsed time includes the waiting. The time their tasks took is known, and
so is how many such seconds pass per second of real time: that many tasks run at once, whatever workers come, go or wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

RECENT_S = 120.0
"""Rates are those of the last minutes, so that they follow workers that come and go."""

TASKS_SEEN = 4
"""Of the slowest tasks, so many one after another are recent too."""


@dataclass(slots=True)
class _Work:
    left: int
    done: int = 0
    seconds: float = 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds of work left; 0 if nothing was done yet to estimate it from."""
        return self.left * self.seconds / self.done if self.done else 0.0


@dataclass(slots=True)
class Pace:
    """Follows the work done in stages that overlap; work of an earlier start does not count."""

    stages: dict[str, _Work] = field(default_factory=dict)
    moments: deque[tuple[float, float]] = field(default_factory=deque)
    """Times, and seconds of work done until then."""
    slowest: float = 0.0
    """Seconds of the slowest task."""

    def expect(self, stage: str, left: int, *, now: float) -> None:
        """Announce a stage; earlier work says nothing about the pace from here on."""
        self.stages[stage] = _Work(left)
        self.moments, self.slowest = deque([(now, 0.0)]), 0.0

    def add(self, stage: str, *, units: int, left: int, seconds: float, slowest: float, now: float) -> None:
        """Count units that took some seconds of work, the slowest of their tasks so many of them."""
        work = self.stages[stage]
        work.left, work.done, work.seconds = left, work.done + units, work.seconds + seconds
        self.slowest = max(self.slowest, slowest)
        self.moments.append((now, self.moments[-1][1] + seconds))
        since = now - max(RECENT_S, TASKS_SEEN * self.slowest)
        while len(self.moments) > 2 and self.moments[1][0] <= since:
            self.moments.popleft()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all announced work is done; None if too little was done to tell."""
        (began, before), (now, spent) = self.moments[0], self.moments[-1]
        work = sum(stage.seconds_left for stage in self.stages.values())
        # Before every worker had time for a task or two, most of the work done is in tasks that are not finished.
        known = work > 0 and spent > before and now - began >= 2 * self.slowest
        return work * (now - began) / (spent - before) if known else None
