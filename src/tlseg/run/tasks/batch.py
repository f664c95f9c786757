"""Several short tasks sent as one: how they run on a worker, and how many make a batch.

A task of the scheduler costs about a millisecond whatever it does, so regions that take less are sent together. Each
region of a batch succeeds or fails alone: a failure names its region, and the others are not redone.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from dataclasses import dataclass, replace
from typing import Any

from tlseg.errors import one_line
from tlseg.run.tasks.flow import Task
from tlseg.run.tasks.metrics import count_task

WORTH_SENDING_S = 0.1
"""Regions are sent together as long as they take no longer than this, a hundred times what sending costs."""

MOST = 64
"""Most regions in a batch; a worker that dies loses this many."""

FORGETTING = 0.9
"""Share of the slowest region's time that still counts one batch later."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one task: its result, or the error it raised, after how many seconds and in which process."""

    result: Any
    error: Exception | None
    seconds: float
    worker: str


def run_batch(tasks: tuple[Task, ...]) -> tuple[Outcome, ...]:
    """Run tasks one after another on this worker, each regardless of those before."""
    outcomes = []
    for task in tasks:
        outcome = run_task(task)
        count_task(task.stage, outcome.seconds, units=task.weight, failed=outcome.error is not None)
        outcomes.append(outcome if outcome.error is None else replace(outcome, error=_portable(outcome.error)))
    return tuple(outcomes)


def run_task(task: Task) -> Outcome:
    """Run one task in this process."""
    began = time.perf_counter()
    try:
        result, error = task.function(*task.arguments), None
    except Exception as raised:
        result, error = None, raised
    return Outcome(result, error, time.perf_counter() - began, f"{socket.gethostname()}:{os.getpid()}")


class BatchSizes:
    """How many tasks of a stage to send together, from how long the slowest of its last ones took."""

    def __init__(self) -> None:
        self.slowest: dict[str, float] = {}

    def learn(self, stage: str, seconds: float) -> None:
        """Take a batch into account whose slowest task took this long."""
        self.slowest[stage] = max(seconds, FORGETTING * self.slowest.get(stage, 0.0))

    def of(self, stage: str) -> int:
        """Tasks to send together; one if nothing is known yet."""
        seconds = self.slowest.get(stage)
        return 1 if seconds is None else min(MOST, max(1, int(WORTH_SENDING_S / max(seconds, 1e-6))))

    @property
    def largest(self) -> int:
        """Largest batch of any stage so far."""
        return max(map(self.of, self.slowest), default=1)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to the client: some cannot be rebuilt from their arguments.

    What stands for another error may be tried again, as that one may.
    """
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        return RuntimeError(one_line(error))
    return error
