"""The order in which the work is done, and how much of it is in flight.

A flow is the work of one frame (or a few): steps of tasks, each step waiting for the one before. Flows overlap: while
one waits, tasks of the next run; if there is a choice, the earlier flow goes first. Only what the pool has room for is
handed over and only a few flows are open, so the memory of client and scheduler does not grow with the movie; and of a
step only the next task is made, so that it does not grow with the regions of a frame either.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from tlseg.errors import RunError

Step: TypeAlias = "Sequence[Task] | Tasks"
Flow = Generator[Step, list[Any], None]
Needs = Literal["network", "core"]


class TasksError(RunError):
    """Tasks failed for good, or nobody is left to do them; whoever began them adds what is kept and what to do."""


@dataclass(frozen=True, slots=True)
class Task:
    """One call on one region; `frame` and `number` name the region in errors and progress.

    `needs` says what it is bound by: a network (a GPU, where there is one) or a core of a CPU. `weight` is how many
    units of its stage it does.
    """

    stage: str
    frame: int
    number: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    weight: int = 1
    needs: Needs = "core"

    @property
    def place(self) -> str:
        """Frame and region in words."""
        return f"frame {self.frame}, region {self.number}"


@dataclass(frozen=True, slots=True)
class Finished:
    """A task that is done: under which ticket, with what result, and how long it took in which process.

    `failures` is how often it failed before, and `error` its last error.
    """

    ticket: int
    result: Any
    seconds: float = 0.0
    worker: str = ""
    failures: int = 0
    error: str = ""


class Pool(Protocol):
    """Where tasks run."""

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard; empty if there is none."""

    @property
    def specialised(self) -> bool:
        """Whether some workers run only networks, or only everything else: those wait if the rest has much to do."""

    @property
    def capacity(self) -> int:
        """Tasks worth having ready at once; grows and shrinks with the workers."""

    def slots(self, needs: Needs) -> int:
        """Tasks of a need that can run at once just now."""

    def room(self, task: Task) -> bool:
        """Whether to hand over this task now."""

    def submit(self, ticket: int, task: Task) -> None:
        """Hand over a task; `finished` returns its result under this ticket."""

    def finished(self) -> list[Finished]:
        """Wait for any tasks, at least one, or raise what went wrong."""

    def cancel(self) -> None:
        """Forget all tasks; running ones are left alone."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """A step of many tasks that are alike, each made when it is handed over; all have the same `needs`."""

    numbers: Collection[Any]
    make: Callable[[Any], Task]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Task]:
        return map(self.make, self.numbers)


@dataclass(slots=True)
class _OpenFlow:
    flow: Flow
    tasks: Iterator[Task] = field(default_factory=lambda: iter(()))
    results: list[Any] = field(default_factory=list)
    left: int = 0
    needs: Needs = "core"
    """Of the first task of the step, which stands for the others."""


def drive(
    next_flow: Callable[[], Flow | None],
    pool: Pool,
    *,
    open_flows: int,
    on_done: Callable[[Task, Finished], None],
) -> None:
    """Run flows until none is left and all are finished.

    Parameters
    ----------
    next_flow
        Returns a flow that can start, or None when none can start now; asked again after every task.
    open_flows
        Flows that may be under way at once beside as many as the pool has capacity for.
    on_done
        Called for every finished task.
    """
    try:
        _Driver(next_flow, pool, open_flows, on_done).run()
    except BaseException:
        # While the caller still holds its lock: what is not running yet never will.
        pool.cancel()
        raise


class _Driver:
    def __init__(
        self,
        next_flow: Callable[[], Flow | None],
        pool: Pool,
        open_flows: int,
        on_done: Callable[[Task, Finished], None],
    ) -> None:
        self.next_flow, self.pool, self.open_flows, self.on_done = next_flow, pool, open_flows, on_done
        # Of each open step the next task; it stands for those behind it.
        self.waiting: dict[Needs, list[tuple[int, int, _OpenFlow, Task]]] = {"network": [], "core": []}
        self.in_flight: dict[int, tuple[_OpenFlow, int, Task]] = {}
        self.running = self.steps = 0
        self.ready: dict[Needs, int] = {"network": 0, "core": 0}
        self.tickets = itertools.count()

    def run(self) -> None:
        while True:
            self._fill()
            if not self.in_flight:
                return
            for finished in self.pool.finished():
                state, index, task = self.in_flight.pop(finished.ticket)
                self.on_done(task, finished)
                state.results[index] = finished.result
                state.left -= 1
                if not state.left:
                    self._advance(state, state.results)

    def _fill(self) -> None:
        """Hand over waiting tasks; if the pool still has room, open flows until it has none or enough are open."""
        while True:
            self._hand_over()
            if not self._wants_more():
                return
            flow = self.next_flow()
            if flow is None:
                return
            self.running += 1
            self._advance(_OpenFlow(flow), None)

    def _wants_more(self) -> bool:
        """Whether to open another flow: a few are open wherever workers may wait for tasks, more of small flows only."""
        ready, capacity = self.ready.values(), self.pool.capacity
        if self.running < self.open_flows:
            return (min(ready) if self.pool.specialised else sum(ready)) < capacity
        return sum(ready) < capacity and self.running < self.open_flows + capacity

    def _hand_over(self) -> None:
        for queue in self.waiting.values():
            while queue and self.pool.room(queue[0][-1]):
                _, step, state, task = heapq.heappop(queue)
                if (following := next(state.tasks, None)) is not None:
                    self._wait(following, step, state)
                ticket = next(self.tickets)
                self.in_flight[ticket] = (state, len(state.results), task)
                state.results.append(None)
                self.ready[state.needs] -= 1
                self.pool.submit(ticket, task)

    def _wait(self, task: Task, step: int, state: _OpenFlow) -> None:
        """Put the next task of a step into its queue."""
        heapq.heappush(self.waiting[task.needs], (task.frame, step, state, task))

    def _advance(self, state: _OpenFlow, results: list[Any] | None) -> None:
        """Move a flow to its next step that has tasks, or past its end."""
        try:
            step = next(state.flow) if results is None else state.flow.send(results)
            while not step:
                step = state.flow.send([])
        except StopIteration:
            self.running -= 1
            return
        state.tasks, state.results, state.left = iter(step), [], len(step)
        first = next(state.tasks)
        state.needs = first.needs
        self.ready[first.needs] += len(step)
        self.steps += 1
        self._wait(first, self.steps, state)
