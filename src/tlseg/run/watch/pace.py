"""How long will it take? Told from seconds of work, never from the clock of a stage.

Stages that overlap wait for each other, and their clocks go on while they do. What their tasks took is known, and so is how
many such seconds go by in one of the clock: that many tasks run at once, whoever comes, goes or waits.
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
        """Of work; 0 where nothing was done yet that says how much it is."""
        return self.left * self.seconds / self.done if self.done else 0.0


@dataclass(slots=True)
class Pace:
    """Follows what is done in stages that overlap; what an earlier start did counts for nothing."""

    stages: dict[str, _Work] = field(default_factory=dict)
    moments: deque[tuple[float, float]] = field(default_factory=deque)
    """Times, and seconds of work done until then."""
    slowest: float = 0.0
    """Seconds of the slowest task."""

    def expect(self, stage: str, left: int, *, now: float) -> None:
        """Announce a stage; what was before it says nothing about the pace from here on."""
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
        """Seconds until all that was announced is done; None where too little was done to tell."""
        (began, before), (now, spent) = self.moments[0], self.moments[-1]
        work = sum(stage.seconds_left for stage in self.stages.values())
        # Before every worker had time for a task or two, most of the work done is in tasks that are not finished.
        known = work > 0 and spent > before and now - began >= 2 * self.slowest
        return work * (now - began) / (spent - before) if known else None
