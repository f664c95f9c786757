"""Pools: where tasks run, and the message when one fails."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import KilledWorker

from tlseg.errors import MovieError, PlanError, RunError
from tlseg.run.tasks import client_pool
from tlseg.run.tasks.batch import run_batch
from tlseg.run.tasks.client_pool import CHECK_S, PATIENCE_S, ClientPool
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.failures import TRIES, explained
from tlseg.run.tasks.flow import Finished, Needs, Task, TasksError
from tlseg.run.tasks.pools import SerialPool, open_pool
from tlseg.run.tasks.workers import Worker, Workers, cores, memory_per_worker


def test_serial_runs_in_order_when_asked() -> None:
    calls: list[int] = []
    pool = SerialPool()
    for number in range(3):
        pool.submit(number + 10, Task("s", 0, number, calls.append, (number,)))
    assert calls == []
    assert [[done.ticket for done in pool.finished()] for _ in range(3)] == [[10], [11], [12]]
    assert calls == [0, 1, 2]
    assert pool.capacity == 1


def test_what_tlseg_says_itself_is_not_wrapped() -> None:
    error = MovieError("a chunk is damaged")
    assert explained(error, Task("detect", 3, 7, abs, ())) is error


def test_everything_else_is_one_line_with_its_place() -> None:
    told = explained(ValueError("first line\nsecond line"), Task("detect", 3, 7, abs, ()))
    assert isinstance(told, TasksError)
    assert str(told).startswith("Stage detect failed on frame 3, region 7: ValueError: first line")
    assert "\n" not in str(told)


def test_the_cause_is_kept_for_programmers() -> None:
    pool = SerialPool()
    pool.submit(0, Task("s", 0, 0, int, ("x",)))
    with pytest.raises(RunError) as caught:
        pool.finished()
    assert isinstance(caught.value.__cause__, ValueError)


def test_one_place_only() -> None:
    with pytest.raises(PlanError, match="only one of"):
        Compute(workers=1, scheduler="tcp://x:1")
    assert Compute(workers=1, cluster="cluster.yaml").elsewhere, "of which it says how many workers there are"


def test_nothing_given_is_this_process() -> None:
    with open_pool(Compute()) as pool:
        assert isinstance(pool, SerialPool)


def test_memory_is_shared_evenly() -> None:
    assert 0 < memory_per_worker(4) <= memory_per_worker(1) / 3.5
    assert memory_per_worker(0) > 0
    assert cores() >= 1


# --- a cluster ------------------------------------------------------------------------------------------------------


class FakeFuture:
    """A batch on a cluster: it runs when its result is requested, and counts as done at once if a worker is there."""

    def __init__(
        self, cluster: FakeCluster, tasks: tuple[Task, ...], resources: dict[str, int] | None, priority: int
    ) -> None:
        self.cluster, self.tasks, self.resources, self.priority = cluster, tasks, resources, priority

    def add_done_callback(self, call: Callable[[FakeFuture], None]) -> None:
        if self.cluster.workers:
            call(self)

    def result(self, timeout: float) -> Any:
        self.cluster.in_flight -= 1
        if any(task.number in self.cluster.deadly for task in self.tasks):
            raise KilledWorker("a batch", "a worker", 3)
        return run_batch(self.tasks)


class FakeCluster:
    """What a pool sees of a cluster, and the clock."""

    def __init__(self) -> None:
        self.status = "running"
        self.now = 1000.0
        self.workers = {"a": Worker("a", 1, 2**30, {})}
        self.deadly: set[int] = set()
        self.sent: list[FakeFuture] = []
        self.in_flight = self.most_in_flight = 0

    def submit(self, function: Any, tasks: tuple[Task, ...], *, resources: Any, priority: int, **_: Any) -> FakeFuture:
        self.sent.append(FakeFuture(self, tasks, resources, priority))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self.sent[-1]

    def cancel(self, futures: list[FakeFuture], *, force: bool) -> None:
        for future in futures:
            self.sent.remove(future)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Waiting for a batch takes as long as it says, by the clock."""
    made = FakeCluster()

    class Arrivals(deque[Any]):
        put = deque.append

        def get_nowait(self) -> Any:
            if not self:
                raise queue.Empty
            return self.popleft()

        def get(self, timeout: float) -> Any:
            made.now += 0.0 if self else timeout + 0.1
            return self.get_nowait()

    monkeypatch.setattr(client_pool, "queue", SimpleNamespace(SimpleQueue=Arrivals, Empty=queue.Empty))
    monkeypatch.setattr(client_pool, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(client_pool, "share_options", lambda client: None)
    monkeypatch.setattr(Workers, "of", lambda client: Workers(tuple(client.workers.values())))
    return made


def task(number: int, function: Callable[..., Any] = abs, **more: Any) -> Task:
    return Task("s", 0, number, function, (-number,), **more)


def all_of(pool: ClientPool, tasks: list[Task]) -> list[Finished]:
    """Run tasks as a run does, with no more at once than there is room for."""
    waiting, done, in_hand = list(enumerate(tasks)), [], 0
    while waiting or in_hand:
        while waiting and pool.room(waiting[0][1]):
            pool.submit(*waiting.pop(0))
            in_hand += 1
        found = pool.finished()
        in_hand -= len(found)
        done += found
    return done


def test_a_cluster_does_every_task_once(cluster: FakeCluster) -> None:
    done = all_of(ClientPool(cluster), [task(n) for n in range(50)])
    assert {f.ticket: f.result for f in done} == {n: n for n in range(50)}
    assert len(done) == 50


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_waits_for_each_hand_and_not_the_whole_movie(cluster: FakeCluster, threads: int) -> None:
    """Thus no worker waits for the client, and the scheduler's memory does not grow with the movie."""
    cluster.workers = {"a": Worker("a", threads, 2**30, {})}
    all_of(ClientPool(cluster), [task(n) for n in range(100)])
    assert 2 * threads <= cluster.most_in_flight <= 2 * threads + 2


def test_earlier_frames_go_first(cluster: FakeCluster) -> None:
    pool = ClientPool(cluster)
    for frame in (0, 2, 1):
        pool.submit(frame, Task("s", frame, 0, abs, (0,)))
    first = sorted(cluster.sent, key=lambda future: -future.priority)
    assert [future.tasks[0].frame for future in first] == [0, 1, 2]


def test_networks_go_to_those_who_offer_it(cluster: FakeCluster) -> None:
    cluster.workers = {"a": Worker("a", 1, 2**30, {"GPU": 1}), "b": Worker("b", 1, 2**30, {})}
    all_of(ClientPool(cluster), [task(0, needs="network"), task(1)])
    assert [future.resources for future in cluster.sent] == [{"GPU": 1}, None]


def test_a_cluster_without_workers_is_none(cluster: FakeCluster) -> None:
    cluster.workers = {}
    with pytest.raises(RunError, match="no workers"):
        ClientPool(cluster)


@pytest.mark.parametrize("busy_s", [0.0, 10 * PATIENCE_S])
def test_patience_begins_when_nobody_is_seen(cluster: FakeCluster, busy_s: float) -> None:
    """However long the client was busy before, without looking."""
    pool = ClientPool(cluster)
    all_of(pool, [task(0)])
    cluster.now += busy_s
    cluster.workers = {}
    began = cluster.now
    with pytest.raises(RunError, match=f"For {PATIENCE_S:.0f} s the Dask cluster had no worker"):
        all_of(pool, [task(1)])
    assert PATIENCE_S <= cluster.now - began <= PATIENCE_S + 3 * CHECK_S


def test_workers_that_come_back_are_waited_for(cluster: FakeCluster) -> None:
    pool, workers = ClientPool(cluster), cluster.workers
    for _ in range(3):
        cluster.workers = {}
        pool.submit(0, task(7))
        end = cluster.now + 0.8 * PATIENCE_S
        pool._send("core")
        while cluster.now < end:
            assert not pool._arrivals()
        cluster.workers = workers
        cluster.sent[-1].add_done_callback(pool.arrived.put)
        assert pool.finished()[0].result == 7
        cluster.now += CHECK_S
        assert pool.capacity


@pytest.mark.parametrize("left", ["network", "core"])
def test_a_lane_without_workers_is_named_where_tasks_wait_for_it(cluster: FakeCluster, left: Needs) -> None:
    """Waiting networks end a run; GPUs released once no network is left to run do not."""
    cluster.workers = {"a": Worker("a", 1, 2**30, {"GPU": 1}), "b": Worker("b", 1, 2**30, {})}
    pool = ClientPool(cluster)
    del cluster.workers["a"]
    pool._submit(left, [(0, task(0))])
    pool.arrived.clear()  # the batch is not done
    pool._arrivals()
    cluster.now += PATIENCE_S
    with pytest.raises(RunError, match="had no worker with GPU") if left == "network" else nullcontext():
        pool._arrivals()


def test_a_task_that_fails_is_tried_again_and_then_named(cluster: FakeCluster) -> None:
    calls: list[int] = []

    def flaky(number: int) -> int:
        calls.append(number)
        if len(calls) < TRIES:
            raise ValueError("not yet")
        return number

    (done,) = all_of(ClientPool(cluster), [task(3, flaky)])
    assert (done.result, done.failures, done.error) == (-3, TRIES - 1, "ValueError: not yet")
    with pytest.raises(RunError, match=f"Stage s failed {TRIES} times on frame 0, region 4"):
        all_of(ClientPool(cluster), [task(4, lambda number: 1 // 0)])


def test_what_tlseg_says_itself_is_not_tried_again(cluster: FakeCluster) -> None:
    calls = []

    def refuse(number: int) -> None:
        calls.append(number)
        raise MovieError("a chunk is damaged")

    with pytest.raises(MovieError, match="a chunk is damaged"):
        all_of(ClientPool(cluster), [task(3, refuse)])
    assert len(calls) == 1


def test_of_those_in_flight_the_one_that_kills_workers_is_named(cluster: FakeCluster) -> None:
    cluster.deadly = {2}
    pool = ClientPool(cluster)
    with pytest.raises(RunError, match=r"Stage s killed 4 workers on frame 0, region 2, .*--memory-limit"):
        all_of(pool, [task(n) for n in range(4)])
    pool.cancel()
    assert not pool.in_flight


def test_a_scheduler_that_is_gone_is_said(cluster: FakeCluster) -> None:
    pool = ClientPool(cluster)
    cluster.workers, cluster.status = {}, "closed"
    with pytest.raises(TasksError, match="was lost"):
        all_of(pool, [task(0)])
