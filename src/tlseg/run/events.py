"""What a run says while it goes on: how much of each stage is done, how fast, and by whom.

Everything said is worked out from what tasks report when they are done, so saying it costs the workers nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlseg.run.event_log import EventLog, quiet

if TYPE_CHECKING:
    from tlseg.run.flow import Finished, Task

NETWORK_STAGE = "predict"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened: a stage of `total` units has `done` of them (a unit is a window, a block or a frame).

    Attributes
    ----------
    stage : str
    done, total : int
        Units.
    voxels : int
        Voxels of the movie that all units together stand for; 0 where they stand for none.
    busy : float or None
        Share of the time so far in which those that run networks had one to run, 0 to 1; None for other stages.
    """

    stage: str
    done: int
    total: int
    voxels: int = 0
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person wants to know once, such as where the dashboard is."""

    text: str


Listener = Callable[[Event | Notice], None]


def silent(event: Event | Notice) -> None:
    """Listen to nothing."""


@dataclass(slots=True)
class _Stage:
    total: int
    voxels: int
    done: int
    began: float
    hand_seconds: float = 0.0
    """Seconds that hands for networks had, whether they used them or not."""
    seen: float = 0.0
    used: float = 0.0


class Counters:
    """Count units per stage, tell a listener, and write the event log of a run that has one."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.log: EventLog = quiet()
        self.stages: dict[str, _Stage] = {}

    @property
    def totals(self) -> dict[str, int]:
        """Units of each stage that was announced."""
        return {name: stage.total for name, stage in self.stages.items()}

    def expect(self, stage: str, total: int, *, done: int = 0, voxels: int = 0) -> None:
        """Announce a stage, of which an earlier start may have `done` a part."""
        now = time.monotonic()
        self.stages[stage] = _Stage(total, voxels, done, now, seen=now)
        self.log.say("stage_started", stage=stage, total=total, done=done, voxels=voxels)
        self.listener(Event(stage, done, total, voxels))

    def add(self, stage: str, units: int = 1) -> None:
        """Count units as done."""
        state = self.stages[stage]
        state.done = min(state.total, state.done + units)
        busy = min(1.0, state.used / state.hand_seconds) if state.hand_seconds else None
        self.listener(Event(stage, state.done, state.total, state.voxels, busy))
        if state.done == state.total:
            self.log.flush()
            self.log.say("stage_finished", stage=stage, seconds=round(time.monotonic() - state.began, 3))

    def finished(self, task: Task, finished: Finished, *, hands: int) -> None:
        """Count a task that is done, if its stage was announced.

        Parameters
        ----------
        hands
            Tasks of its kind that could run at once just now.
        """
        state = self.stages.get(task.stage)
        if state is None:
            return
        if task.stage == NETWORK_STAGE:
            now = time.monotonic()
            state.hand_seconds += hands * (now - state.seen)
            state.seen, state.used = now, state.used + finished.seconds
        self.log.region(
            task.stage,
            frame=task.frame,
            region=task.number,
            seconds=finished.seconds,
            worker=finished.worker,
            done=min(state.total, state.done + task.weight),
            total=state.total,
            hands=hands,
        )
        if finished.failures:
            self.log.say(
                "retry",
                stage=task.stage,
                frame=task.frame,
                region=task.number,
                worker=finished.worker,
                failures=finished.failures,
                error=finished.error,
            )
        self.add(task.stage, task.weight)
