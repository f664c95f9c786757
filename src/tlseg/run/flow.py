"""In which order is the work done, with how much of it in flight.

A flow is the work of one frame (or a few): steps of tasks, each step waiting for the one before. Flows overlap: while
one waits, tasks of the next run. Only a window of tasks is with the workers and only a few flows are open, so the
memory of client and scheduler does not grow with the movie.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

Step = list["Task"]
Flow = Generator[Step, list[Any], None]


@dataclass(frozen=True, slots=True)
class Task:
    """One call on one region; `frame` and `number` name the region in errors and progress."""

    stage: str
    frame: int
    number: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    weight: int = 1


class Pool(Protocol):
    """Where tasks run."""

    @property
    def capacity(self) -> int:
        """Tasks worth having in flight at once."""

    def submit(self, ticket: int, task: Task) -> None:
        """Hand over a task; its result comes out of `finished` under this ticket."""

    def finished(self) -> tuple[int, Any]:
        """Wait for any task and return its ticket and result, or raise what went wrong."""


@dataclass(slots=True)
class _Open:
    flow: Flow
    order: int
    results: list[Any] = field(default_factory=list)
    left: int = 0


def drive(
    next_flow: Callable[[], Flow | None], pool: Pool, *, open_flows: int, on_done: Callable[[Task, Any], None]
) -> None:
    """Run flows until there is no next one and all are finished.

    Parameters
    ----------
    next_flow
        Returns a flow that can start, or None when none can start now; asked again after every task.
    open_flows
        Flows that may be under way at once.
    on_done
        Called for every finished task with its result.
    """
    waiting: list[tuple[int, int, int, _Open, Task]] = []
    flying: dict[int, tuple[_Open, int, Task]] = {}
    opened = running = ticket = 0

    def advance(state: _Open, results: list[Any] | None) -> int:
        """Move a flow to its next step that has tasks; returns 1 while it is under way, 0 when it ended."""
        nonlocal ticket
        try:
            step = next(state.flow) if results is None else state.flow.send(results)
            while not step:
                step = state.flow.send([])
        except StopIteration:
            return 0
        state.results, state.left = [None] * len(step), len(step)
        for index, task in enumerate(step):
            heapq.heappush(waiting, (state.order, ticket, index, state, task))
            ticket += 1
        return 1

    while True:
        while running < open_flows and len(waiting) < pool.capacity:
            flow = next_flow()
            if flow is None:
                break
            running += advance(_Open(flow, opened), None)
            opened += 1
        while waiting and len(flying) < pool.capacity:
            _, number, index, state, task = heapq.heappop(waiting)
            flying[number] = (state, index, task)
            pool.submit(number, task)
        if not flying:
            return
        number, result = pool.finished()
        state, index, task = flying.pop(number)
        on_done(task, result)
        state.results[index] = result
        state.left -= 1
        if not state.left and not advance(state, state.results):
            running -= 1
