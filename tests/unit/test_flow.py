"""The driver of flows: every task once, steps in order, a bounded number in flight."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.run.tasks.flow import Finished, Flow, Needs, Step, Task, Tasks, drive


class Shuffled:
    """A pool that finishes tasks in any order, and records how many it holds."""

    specialised, dashboard = False, ""

    def __init__(self, capacity: int, choose: Any) -> None:
        self.capacity, self.choose = capacity, choose
        self.held: dict[int, Task] = {}
        self.most = 0
        self.order: list[tuple[int, int]] = []
        self.cancelled = False

    def room(self, task: Task) -> bool:
        return len(self.held) < self.capacity

    def submit(self, ticket: int, task: Task) -> None:
        self.held[ticket] = task
        self.order.append((task.frame, task.number))
        self.most = max(self.most, len(self.held))

    def finished(self) -> list[Finished]:
        ticket = sorted(self.held)[self.choose(len(self.held))]
        task = self.held.pop(ticket)
        return [Finished(ticket, task.function(*task.arguments))]

    def cancel(self) -> None:
        self.cancelled = True


def task(flow: int, step: int, number: int) -> Task:
    return Task(f"step {step}", flow, number, lambda *a: a, (flow, step, number))


def make(flow: int, step: int, count: int) -> Step:
    """Tasks of a step, every other step's made one by one."""
    if step % 2:
        return Tasks(range(count), lambda number: task(flow, step, number))
    return [task(flow, step, number) for number in range(count)]


def drive_all(plan: list[list[int]], pool: Shuffled, *, open_flows: int) -> tuple[list[Any], int]:
    """Drive flows whose steps have these numbers of tasks; returns what finished, and most flows open at once."""
    finished: list[Any] = []
    open_now = most_open = 0

    def flow(index: int, steps: list[int]) -> Flow:
        nonlocal open_now, most_open
        open_now += 1
        most_open = max(most_open, open_now)
        for step, count in enumerate(steps):
            results = yield make(index, step, count)
            assert results == [(index, step, number) for number in range(count)], "results come in the order of tasks"
        open_now -= 1

    flows: Iterator[Flow] = (flow(i, steps) for i, steps in enumerate(plan))
    drive(lambda: next(flows, None), pool, open_flows=open_flows, on_done=lambda _, done: finished.append(done.result))
    assert open_now == 0
    return finished, most_open


plans = st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6)


@settings(max_examples=200, deadline=None)
@given(plan=plans, capacity=st.integers(1, 5), open_flows=st.integers(1, 4), data=st.data())
def test_laws(plan: list[list[int]], capacity: int, open_flows: int, data: st.DataObject) -> None:
    """Every task runs once; a step starts when the one before is done; the windows hold, in whatever order tasks end."""
    pool = Shuffled(capacity, lambda n: data.draw(st.integers(0, n - 1)))
    finished, most_open = drive_all(plan, pool, open_flows=open_flows)
    expected = {(f, s, n) for f, steps in enumerate(plan) for s, count in enumerate(steps) for n in range(count)}
    assert len(finished) == len(expected)
    assert set(finished) == expected
    assert pool.most <= capacity
    assert most_open <= open_flows + capacity
    for flow in range(len(plan)):
        steps = [step for f, step, _ in finished if f == flow]
        assert steps == sorted(steps)


def test_flows_overlap() -> None:
    """While the last task of a step is running, tasks of the next flow run too."""
    pool = Shuffled(2, lambda n: n - 1)
    drive_all([[2, 1], [2, 1]], pool, open_flows=2)
    assert pool.order.index((1, 0)) < pool.order.index((0, 1)) + 2
    assert pool.most == 2


def test_earlier_flows_come_first() -> None:
    pool = Shuffled(1, lambda n: 0)
    drive_all([[1, 3], [1, 3]], pool, open_flows=2)
    frames = [frame for frame, _ in pool.order]
    assert frames[-3:] == [1, 1, 1]


def test_a_flow_may_become_possible_later() -> None:
    """None means "not now": the source is asked again after every task."""
    ready: list[int] = []
    given = [False]

    def first() -> Flow:
        yield [task(0, 0, 0)]
        ready.append(1)

    def second() -> Flow:
        assert ready
        yield [task(1, 0, 0)]

    flows = [first()]

    def next_flow() -> Flow | None:
        if flows:
            return flows.pop()
        if ready and not given[0]:
            given[0] = True
            return second()
        return None

    done: list[Any] = []
    drive(next_flow, Shuffled(3, lambda n: 0), open_flows=4, on_done=lambda _, d: done.append(d.result))
    assert done == [(0, 0, 0), (1, 0, 0)]


def test_an_error_ends_it() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def flow() -> Flow:
        yield [Task("s", 0, 0, fail, ())]
        pytest.fail("the flow went on")

    flows = iter([flow()])
    pool = Shuffled(1, lambda n: 0)
    with pytest.raises(ZeroDivisionError):
        drive(lambda: next(flows, None), pool, open_flows=1, on_done=lambda *_: None)
    assert pool.cancelled, "what still waits must not start once the run has failed"


def test_a_task_is_made_when_there_is_room_for_it() -> None:
    """The client's memory does not grow with the number of regions in a frame."""
    pool, made, ahead = Shuffled(3, lambda n: 0), 0, []

    def one(number: int) -> Task:
        nonlocal made
        made += 1
        return task(0, 0, number)

    def flow() -> Flow:
        results = yield Tasks(range(1000), one)
        assert results == [(0, 0, number) for number in range(1000)]

    flows = iter([flow()])
    drive(lambda: next(flows, None), pool, open_flows=4, on_done=lambda _, done: ahead.append(made - done.result[2]))
    assert made == 1000
    assert max(ahead) <= 3 + 2


class Clocked:
    """A pool with one GPU and eight cores, where a task takes the seconds that are its argument."""

    specialised, dashboard, capacity = True, "", 22
    count: ClassVar[dict[Needs, int]] = {"network": 1, "core": 8}

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: dict[Needs, list[tuple[int, int, Task]]] = {"network": [], "core": []}
        self.running: list[tuple[float, int, Task]] = []

    def slots(self, needs: Needs) -> int:
        return self.count[needs] - sum(task.needs == needs for *_, task in self.running)

    def room(self, task: Task) -> bool:
        return len(self.waiting[task.needs]) < self.count[task.needs] + 2

    def submit(self, ticket: int, task: Task) -> None:
        heapq.heappush(self.waiting[task.needs], (task.frame, ticket, task))
        self.begin(task.needs)

    def begin(self, needs: Needs) -> None:
        while self.waiting[needs] and self.slots(needs):
            _, ticket, task = heapq.heappop(self.waiting[needs])
            heapq.heappush(self.running, (self.now + task.arguments[0], ticket, task))

    def finished(self) -> list[Finished]:
        self.now, ticket, task = heapq.heappop(self.running)
        self.begin(task.needs)
        return [Finished(ticket, None)]

    def cancel(self) -> None:
        self.waiting.clear()


@pytest.mark.parametrize("size", [1, 10, 100])
def test_gpus_and_cores_work_at_the_same_time_however_large_frames_are(size: int) -> None:
    """Networks of one frame run while cores label the one before, and measure the one before that."""
    pool, frames, labelled = Clocked(), 12, list[int]()
    groups, unmeasured = iter(range(frames)), list[int]()

    def step(frame: int, count: int, seconds: float, needs: Needs = "core") -> Step:
        return Tasks(range(count), lambda number: Task("s", frame, number, abs, (seconds,), needs=needs))

    def label(frame: int) -> Flow:
        yield step(frame, 4 * size, 1.0, "network")
        yield step(frame, 16 * size, 1.0)
        labelled.append(frame)
        unmeasured.append(frame)

    def measure(frame: int) -> Flow:
        yield step(frame, 16 * size, 1.0)

    def next_flow() -> Flow | None:
        if unmeasured and (unmeasured[0] + 1 == frames or unmeasured[0] + 1 in labelled):
            return measure(unmeasured.pop(0))
        frame = next(groups, None)
        return None if frame is None else label(frame)

    drive(next_flow, pool, open_flows=4, on_done=lambda *_: None)
    busy = frames * 4 * size
    assert pool.now <= 1.2 * busy, "seconds, of which GPU and cores are busy all the time"
