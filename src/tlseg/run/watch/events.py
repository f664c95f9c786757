"""Events of a run in progress: how much of each stage is done, how fast, and by which workers.

Everything is computed from what tasks report when they finish, so it costs the workers nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlseg.run.watch.event_log import EventLog, quiet
from tlseg.run.watch.pace import Pace
from tlseg.store.working.names import Stage

if TYPE_CHECKING:
    from tlseg.run.tasks.flow import Finished, Task


@dataclass(frozen=True, slots=True)
class Event:
    """Progress of a stage: `done` of its `total` units are done (a unit is a window, a block or a frame).

    Attributes
    ----------
    stage : str
    done, total : int
        Units.
    voxels : int
        Voxels of the movie that all units together stand for; 0 if they stand for none.
    busy : float or None
        Share of the time so far in which those that run networks had one to run, 0 to 1; None for other stages.
    waits : bool
        Whether the stage waits for another one running at the same time, so that its own time means nothing.
    seconds_left : float or None
        Until all stages announced so far are done; None if not known yet.
    """

    stage: str
    done: int
    total: int
    voxels: int = 0
    busy: float | None = None
    waits: bool = False
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the user once, such as where the dashboard is."""

    text: str


Listener = Callable[[Event | Notice], None]


def silent(event: Event | Notice) -> None:
    """Ignore all events."""


@dataclass(slots=True)
class _Stage:
    total: int
    voxels: int
    done: int
    waits: bool
    began: float
    slot_seconds: float = 0.0
    """Seconds that slots for networks were there, whether they used them or not."""
    seen: float = 0.0
    used: float = 0.0


class Counters:
    """Count units per stage, tell a listener, and write the event log of a run that has one."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.log: EventLog = quiet()
        self.stages: dict[str, _Stage] = {}
        self.pace = Pace()
        self.last_said = time.monotonic()

    @property
    def totals(self) -> dict[str, int]:
        """Units of each stage that was announced."""
        return {name: stage.total for name, stage in self.stages.items()}

    def expect(self, stage: str, total: int, *, done: int = 0, voxels: int = 0, waits: bool = False) -> None:
        """Announce a stage, of which an earlier start may have `done` a part; it may wait for one announced before."""
        now = self.last_said = time.monotonic()
        self.stages[stage] = _Stage(total, voxels, done, waits, now, seen=now)
        self.pace.expect(stage, total - done, now=now)
        self.log.say("stage_started", stage=stage, total=total, done=done, voxels=voxels, waits=waits)
        self.listener(Event(stage, done, total, voxels, waits=waits))

    def add(self, stage: str, units: int = 1) -> None:
        """Count units as done since the last call."""
        self._add(stage, units, seconds=time.monotonic() - self.last_said)

    def _add(self, stage: str, units: int, *, seconds: float) -> None:
        state, now = self.stages[stage], time.monotonic()
        units = min(units, state.total - state.done)
        state.done, self.last_said = state.done + units, now
        self.pace.add(stage, units=units, left=state.total - state.done, seconds=seconds, slowest=seconds, now=now)
        busy = min(1.0, state.used / state.slot_seconds) if state.slot_seconds else None
        left = self.pace.seconds_left
        self.listener(Event(stage, state.done, state.total, state.voxels, busy, state.waits, left))
        if state.done == state.total:
            self.log.flush()
            self.log.say("stage_finished", stage=stage, seconds=round(now - state.began, 3))

    def finished(self, task: Task, finished: Finished, *, slots: int) -> None:
        """Count a task that is done, if its stage was announced.

        Parameters
        ----------
        slots
            Tasks of its kind that could run at once just now.
        """
        state = self.stages.get(task.stage)
        if state is None:
            return
        if task.stage == Stage.PREDICT:
            now = time.monotonic()
            state.slot_seconds += slots * (now - state.seen)
            state.seen, state.used = now, state.used + finished.seconds
        self.log.region(
            task.stage,
            frame=task.frame,
            region=task.number,
            seconds=finished.seconds,
            worker=finished.worker,
            done=min(state.total, state.done + task.weight),
            total=state.total,
            slots=slots,
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
        self._add(task.stage, task.weight, seconds=finished.seconds)
