"""The time left is that of the whole run, however its stages wait for each other."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator

import pytest

from tlseg.cli.progress import RunProgress
from tlseg.run.tasks.flow import Finished, Task
from tlseg.run.watch.events import Counters, Event
from tlseg.run.watch.pace import Pace

PREDICT_S, FLOOD_S = 10.0, 5.0
"""Of a frame: four windows of the one, then two blocks of the other."""


def run(slots: dict[float, int], *, frames: int, done: int = 0) -> Iterator[tuple[float, Pace]]:
    """Give clock and pace after every task of a run on slots whose number changes at times; windows come in fours."""
    pace, free = Pace(), [0.0] * slots[0.0]
    left = {"predict": 4 * (frames - done), "flood": 2 * (frames - done)}
    for stage, count in left.items():
        pace.expect(stage, count, now=0.0)
    ends = []
    changes = sorted(slots)[1:]
    for stage, seconds in [*[("predict", PREDICT_S)] * 4, *[("flood", FLOOD_S)] * 2] * (frames - done):
        start = heapq.heappop(free)
        if changes and start >= changes[0]:
            free += [start] * (slots[changes.pop(0)] - len(free) - 1)
        heapq.heappush(free, start + seconds)
        ends.append((start + seconds, stage, seconds))
    for now, stage, seconds in sorted(ends):
        left[stage] -= 1
        pace.add(stage, units=1, left=left[stage], seconds=seconds, slowest=seconds, now=now)
        yield now, pace


@pytest.mark.parametrize("done", [0, 30])
@pytest.mark.parametrize("slots", [1, 4, 16])
def test_the_time_left_is_that_of_the_whole(slots: int, done: int) -> None:
    told = [(now, pace.seconds_left) for now, pace in run({0.0: slots}, frames=60, done=done)]
    end = told[-1][0]
    known = [(now, left) for now, left in told[:-1] if left is not None]
    assert known[0][0] <= 2 * PREDICT_S + 2 * FLOOD_S
    for now, left in known:
        assert left == pytest.approx(end - now, rel=1.0, abs=PREDICT_S), "at once, no worse than twice as long"
        if now > end / 3:
            assert left == pytest.approx(end - now, rel=0.25, abs=2 * PREDICT_S)


def test_it_follows_workers_that_come() -> None:
    told = [(now, pace.seconds_left) for now, pace in run({0.0: 1, 500.0: 10}, frames=100)]
    end = told[-1][0]
    for now, left in told[:-1]:
        if now > 500 + 130:
            assert left == pytest.approx(end - now, rel=0.25, abs=2 * PREDICT_S)


def test_nothing_is_told_before_it_is_known() -> None:
    pace = Pace()
    assert Counters(print).pace.expect("link", 1, now=0.0) is None
    pace.expect("predict", 100, now=0.0)
    pace.add("predict", units=1, left=99, seconds=60.0, slowest=60.0, now=60.0)
    assert pace.seconds_left is None, "fifteen more may be about to end"


def test_a_stage_that_waits_shows_counts_and_the_time_of_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prediction of one frame of ten took 90 s, and flooding it 1 s: a quarter of an hour is left, not a minute or hours."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    counters = Counters(RunProgress())
    counters.expect("predict", 90, voxels=900)
    counters.expect("flood", 10, voxels=900, waits=True)
    for _ in range(9):
        now[0] += 10.0
        counters.finished(Task("predict", 0, 0, print, ()), Finished(0, None, 10.0, "a"), slots=1)
    now[0] += 1.0
    capsys.readouterr()
    monkeypatch.setattr("tlseg.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    counters.finished(Task("flood", 0, 0, print, ()), Finished(0, None, 1.0, "a"), slots=1)
    assert capsys.readouterr().err == "flood: 1/10, 14 min left\n"
    assert Event("flood", 1, 10, 900, waits=True).seconds_left is None
