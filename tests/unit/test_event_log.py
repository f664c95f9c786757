"""An event log holds everything yet stays small, and a status is read from it alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commandline import invoke
from tlseg.cli import main
from tlseg.errors import LabelError
from tlseg.run.tasks.flow import Finished, Task
from tlseg.run.watch import event_log
from tlseg.run.watch.event_log import EventLog, read_events
from tlseg.run.watch.events import Counters, Event
from tlseg.run.watch.status import run_status
from tlseg.store.fs.place import place_of
from tlseg.store.locks.lock import LOCK
from tlseg.store.locks.owner import this_process


class Clock:
    """A clock that advances only when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def region(log: EventLog, stage: str = "flood", *, done: int, total: int, seconds: float = 0.5) -> None:
    log.region(stage, frame=done, region=0, seconds=seconds, worker="a", done=done, total=total, slots=2)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@given(steps=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 9)), max_size=60))
def test_every_region_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, float]]
) -> None:
    path, clock = tmp_path_factory.mktemp("log") / "events.jsonl", Clock()
    with EventLog(path, clock=clock) as log:
        for i, (pause, seconds) in enumerate(steps):
            clock.now += pause
            region(log, done=i + 1, total=len(steps), seconds=seconds)
    found = lines(path) if steps else []
    assert sum(line["regions"] for line in found) == len(steps)
    assert sum(line["seconds"] for line in found) == pytest.approx(sum(s for _, s in steps), abs=0.01)
    if steps:
        assert found[-1]["done"] == len(steps)
        assert max(line["slowest"].get("seconds", 0) for line in found) == pytest.approx(
            max(s for _, s in steps), abs=1e-3
        )


def test_a_day_of_a_million_regions_is_a_small_file(tmp_path: Path) -> None:
    path, clock, count = tmp_path / "events.jsonl", Clock(), 100_000
    with EventLog(path, clock=clock) as log:
        for i in range(count):
            clock.now += 86_400 / count
            region(log, done=i + 1, total=count)
    found = lines(path)
    assert sum(line["regions"] for line in found) == count
    assert path.stat().st_size < 1_500_000
    first, last = (found[k + 1]["done"] - found[k]["done"] for k in (0, -2))
    assert first < last


def test_an_event_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with EventLog(tmp_path / "file" / "events.jsonl") as log:
        log.say("run_started")


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"time": "2026-01-01T00:00:00+00:00", "event": "a"}\n{"time": "2026-0')
    assert [event["event"] for event in read_events(place_of(tmp_path))] == ["a"]


def test_a_line_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    line = b'{"time": "2026-01-01T00:00:00+00:00", "event": "%s"}\n'
    (tmp_path / "events.jsonl").write_bytes(line % b"a" + line % b"\xff" + line % b"b")
    assert [event["event"] for event in read_events(place_of(tmp_path))] == ["a", "b"]


def test_the_event_log_of_a_remote_result_is_copied_and_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, path = place_of("memory://events/tlseg/nuclei"), tmp_path / "scratch.events.jsonl"
    monkeypatch.setattr(event_log, "COPY_S", 0.0)
    with EventLog(path, copy=remote / "events.jsonl") as log:
        log.say("run_started")
        assert len(read_events(remote)) == 1
    assert not path.exists()
    with pytest.raises(RuntimeError), EventLog(path, copy=remote / "events.jsonl"):
        raise RuntimeError("no more")
    assert [event["event"] for event in read_events(remote)] == ["run_started", "run_failed"]
    assert path.exists()
    remote.remove()


def test_busy_is_the_share_of_the_time_that_hands_had(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, heard = Clock(), []
    monkeypatch.setattr(time, "monotonic", clock)
    counters = Counters(heard.append)
    counters.expect("predict", 4, done=1, voxels=400)
    for _ in range(3):
        clock.now += 2.0
        counters.finished(Task("predict", 0, 0, print, ()), Finished(0, None, 1.0, "a"), slots=2)
    assert heard[0] == Event("predict", 1, 4, 400)
    assert heard[-1] == Event("predict", 4, 4, 400, busy=pytest.approx(3 / 12))
    counters.finished(Task("number", 0, 0, print, ()), Finished(0, None), slots=2)
    assert len(heard) == 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tlseg" / "nuclei"
    folder.mkdir(parents=True)
    return folder


def write_events(folder: Path, *, over: str | None = None) -> None:
    """Write the log of a run that has done four of ten frames in four minutes."""
    clock = Clock()
    log = EventLog(folder / "events.jsonl", clock=clock)
    log.say("run_started", frames=10, resumed=False, dashboard="http://here/status")
    log.say("stage_started", stage="predict", total=100, done=0, voxels=1000)
    log.say("stage_started", stage="summarise", total=10, done=0, voxels=1000)
    for i in range(4):
        clock.now += 60.0
        region(log, "predict", done=10 * (i + 1), total=100, seconds=30.0)
        region(log, "summarise", done=i + 1, total=10)
        log.flush()
    log.say("retry", stage="predict", frame=3, region=7, worker="a", failures=1, error="OSError: x")
    if over:
        log.say(over, error="RunError: the disk is full")


def hold(folder: Path, *, pid: int | None = None) -> None:
    owner = this_process().to_dict() | ({"pid": pid, "birth": "another boot:1"} if pid else {})
    (folder / LOCK).mkdir()
    (folder / LOCK / "mark").write_text(json.dumps(owner))


def test_a_run_that_goes_on(tmp_path: Path, folder: Path) -> None:
    write_events(folder)
    hold(folder)
    status = run_status(tmp_path)
    assert (status.state, status.complete, status.owner_alive) == ("running", False, True)
    assert (status.frames_done, status.frames_total, status.retries) == (4, 10, 1)
    predict = status.stages[0]
    assert (predict.stage, predict.done, predict.total) == ("predict", 40, 100)
    assert predict.per_s == pytest.approx(10 / 60)
    assert predict.voxels_per_s == pytest.approx(100 / 60)
    assert status.seconds_left == pytest.approx(360)
    assert status.gpu_busy == pytest.approx(4 * 30 / (240 * 2))
    assert status.dashboard == "http://here/status"
    assert json.loads(json.dumps(status.to_dict()))["last_event"] == "retry"


def test_a_run_whose_process_is_gone_died(tmp_path: Path, folder: Path) -> None:
    write_events(folder)
    hold(folder, pid=os.getpid())
    status = run_status(tmp_path)
    assert (status.state, status.owner_alive, status.last_error, status.seconds_left) == ("died", False, None, None)


def test_a_run_that_failed_says_why(tmp_path: Path, folder: Path) -> None:
    write_events(folder, over="run_failed")
    status = run_status(tmp_path)
    assert (status.state, status.last_error) == ("stopped", "RunError: the disk is full")


def test_a_run_that_was_stopped_by_a_person_has_no_error(tmp_path: Path, folder: Path) -> None:
    def stopped() -> None:
        with EventLog(folder / "events.jsonl") as log:
            log.say("run_started", frames=10, resumed=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert run_status(tmp_path).last_error == "stopped by Ctrl-C"
    said = invoke(main, "status", tmp_path).stdout
    assert said.startswith("Stopped by Ctrl-C (0 of 10 frames")
    assert "error" not in said.lower()


def test_a_complete_result_stays_one_while_it_is_replaced(tmp_path: Path, folder: Path) -> None:
    write_events(folder)
    (folder / "run.json").write_text('{"complete": true, "frames": 10}')
    status = run_status(tmp_path)
    assert (status.state, status.frames_done, status.last_error) == ("complete", 10, None)
    assert all(stage.done == stage.total for stage in status.stages)
    hold(folder)
    status = run_status(tmp_path)
    assert (status.state, status.complete, status.frames_done) == ("running", True, 4)


def test_where_nothing_ran_there_is_no_status(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="has no record of a run"):
        run_status(tmp_path)
