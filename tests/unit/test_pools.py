"""Pools: what a person is told when a task fails, and where tasks run."""

from __future__ import annotations

import pytest

from tlseg.errors import MovieError, PlanError, RunError
from tlseg.run.crew import cores, memory_per_worker
from tlseg.run.flow import Task
from tlseg.run.pools import SerialPool, explained, open_pool


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
    assert isinstance(told, RunError)
    assert str(told).startswith("Stage detect failed on frame 3, region 7: ValueError: first line")
    assert "\n" not in str(told)
    assert "goes on from there" in str(told)


def test_the_cause_is_kept_for_programmers() -> None:
    pool = SerialPool()
    pool.submit(0, Task("s", 0, 0, int, ("x",)))
    with pytest.raises(RunError) as caught:
        pool.finished()
    assert isinstance(caught.value.__cause__, ValueError)


def test_one_place_only() -> None:
    with pytest.raises(PlanError, match="not several"), open_pool(workers=1, scheduler="tcp://x:1", client=None):
        pass


def test_nothing_given_is_this_process() -> None:
    with open_pool(workers=0, scheduler=None, client=None) as pool:
        assert isinstance(pool, SerialPool)


def test_memory_is_shared_evenly() -> None:
    assert 0 < memory_per_worker(4) <= memory_per_worker(1) / 3.5
    assert memory_per_worker(0) > 0
    assert cores() >= 1
