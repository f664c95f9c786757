"""Do the tasks of a run: each that is done is counted, and the run stops as soon as its lock is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tlseg.errors import RunError
from tlseg.run.tasks.flow import Finished, Flow, Pool, Task, TasksError, drive
from tlseg.run.watch.events import Counters
from tlseg.store.locks.lock import Lock

OPEN_FLOWS = 4
"""Frames in progress at once, in addition to those needed to keep the workers busy."""


@dataclass(frozen=True, slots=True)
class Work:
    """Where tasks run, and who hears of them.

    Parameters
    ----------
    pool
        Where they run.
    counters
        What counts them.
    lock
        Lock of the output.
    kept
        What is kept if tasks fail, and what to do then.
    """

    pool: Pool
    counters: Counters
    lock: Lock
    kept: str

    def do(self, flows: Iterator[Flow] | Callable[[], Flow | None]) -> None:
        """Run flows until all are finished; for a function instead of an iterator see `drive`.

        Raises
        ------
        RunError
            When tasks fail for good, or another run took the lock.
        """
        next_flow = flows if callable(flows) else partial(next, flows, None)
        try:
            drive(next_flow, self.pool, open_flows=OPEN_FLOWS, on_done=self._count)
        except TasksError as error:
            raise RunError(f"{error} {self.kept}") from error

    def _count(self, task: Task, finished: Finished) -> None:
        self.counters.finished(task, finished, slots=self.pool.slots(task.needs))
        self.lock.beat()
