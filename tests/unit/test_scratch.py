"""Working files: a table that is there means done, another fingerprint is told, one run at a time."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tlseg.errors import LabelError, ResumeError, RunError
from tlseg.store import scratch as module
from tlseg.store.scratch import RunLock, Scratch, write_atomically


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    made = Scratch(str(tmp_path / "scratch"))
    made.begin({"a": 1})
    return made


# --- tables ---------------------------------------------------------------------------------------------------------


def test_what_is_put_comes_back_and_counts_as_done(scratch: Scratch) -> None:
    table = {"x": np.arange(5), "empty": np.zeros((0, 3), np.uint32), "scalar": np.array(2.5)}
    assert scratch.done("flood", 3) == set()
    scratch.put("flood", 3, 7, **table)
    scratch.put("flood", 3, 123456)
    assert scratch.done("flood", 3) == {7, 123456}
    assert scratch.done("flood", 4) == scratch.done("detect", 3) == set()
    back = scratch.get("flood", 3, 7)
    assert back.keys() == table.keys()
    for name, values in table.items():
        np.testing.assert_array_equal(back[name], values)
        assert back[name].dtype == values.dtype


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_table_is_an_error_that_names_it(scratch: Scratch, keep: int) -> None:
    scratch.put("flood", 0, 0, x=np.arange(1000))
    path = next(scratch.path.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ResumeError, match=r"is damaged\. Start anew with --overwrite") as caught:
        scratch.get("flood", 0, 0)
    assert str(path) in str(caught.value)


def test_half_written_files_are_not_done(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Path, target: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            scratch.put("flood", 0, 0, x=np.arange(3))
    assert scratch.done("flood", 0) == set()
    assert not [p for p in scratch.path.rglob("*") if p.is_file() and p.name != "fingerprint.json"]


def test_atomic_writes_replace_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


# --- arrays ---------------------------------------------------------------------------------------------------------


def create(scratch: Scratch, shards: tuple[int, ...], fill: int) -> None:
    scratch.create("maps", shape=(2, 32, 32), dtype="uint8", shards=shards, chunks=(1, 16, 16))
    scratch.array("maps")[...] = fill


def test_arrays_are_made_once(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 5)
    scratch.create("maps", shape=(9, 9, 9), dtype="uint8", shards=(9, 9, 9), chunks=(9, 9, 9))
    assert scratch.array("maps").shape == (2, 32, 32)
    assert (scratch.array("maps")[:] == 5).all()


def test_an_array_made_anew_is_opened_anew(scratch: Scratch) -> None:
    """Also by a process that did not remove the first one: a worker that stays must not write in its layout."""
    import shutil

    create(scratch, (1, 32, 32), 5)
    before = scratch.array("maps")
    assert scratch.array("maps") is before
    shutil.rmtree(scratch.path / "maps")
    create(scratch, (1, 16, 16), 6)
    assert scratch.array("maps").shards is None
    assert before.shards == (1, 32, 32)


def test_a_dropped_frame_reads_as_zero_and_frees_its_files(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 5)
    scratch.drop("maps", 0)
    scratch.drop("maps", 0)
    assert not scratch.array("maps")[0].any()
    assert (scratch.array("maps")[1] == 5).all()
    assert not (scratch.path / "maps/c/0").exists()


# --- fingerprint ----------------------------------------------------------------------------------------------------


def test_the_same_fingerprint_goes_on(tmp_path: Path) -> None:
    scratch = Scratch(str(tmp_path / "scratch"))
    wanted = {"frames": (0, 3), "settings": {"threshold": 128, "deep": {"x": None}}}
    assert scratch.begin(wanted) is False
    assert scratch.begin(wanted) is True
    assert scratch.begin(json.loads(json.dumps(wanted))) is True


def test_another_fingerprint_is_told_with_every_difference(tmp_path: Path) -> None:
    scratch = Scratch(str(tmp_path / "scratch"))
    scratch.begin({"frames": [0, 3], "settings": {"a": 1, "b": {"c": 2}}, "gone": True})
    with pytest.raises(ResumeError) as caught:
        scratch.begin({"frames": [0, 4], "settings": {"a": 1, "b": {"c": 3}}, "new": 1})
    for part in ("frames was [0, 3], is [0, 4]", "settings.b.c was 2, is 3", "gone was True, is None", "new was None"):
        assert part in str(caught.value)
    assert "settings.a" not in str(caught.value)


def test_after_removal_anything_may_begin(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 5)
    scratch.remove()
    assert not scratch.path.exists()
    scratch.remove()
    assert scratch.begin({"other": 1}) is False


def test_a_damaged_fingerprint_is_told(scratch: Scratch) -> None:
    (scratch.path / "fingerprint.json").write_text('{"a":')
    with pytest.raises(ResumeError, match="damaged"):
        scratch.begin({"a": 1})


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match=r"cannot be written to .*--out"):
        Scratch(str(tmp_path / "file/scratch")).begin({})
    with pytest.raises(LabelError, match=r"cannot be written to .*--out"), RunLock(tmp_path / "file/run"):
        pass


# --- lock -----------------------------------------------------------------------------------------------------------


def write_lock(folder: Path, text: str | dict[str, Any], *, age_s: float = 0.0) -> Path:
    lock = folder / "run.lock"
    lock.write_text(text if isinstance(text, str) else json.dumps(text))
    os.utime(lock, (time.time() - age_s,) * 2)
    return lock


def here(pid: int, **more: Any) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": pid, **more}


def test_a_lock_keeps_others_out_until_it_is_left(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        with pytest.raises(RunError, match=f"process {os.getpid()} on {socket.gethostname()}"), RunLock(tmp_path):
            pass
        assert (tmp_path / "run.lock").exists()
    with RunLock(tmp_path):
        pass
    assert not (tmp_path / "run.lock").exists()


def test_a_lock_is_left_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    assert not (tmp_path / "run.lock").exists()


def dead_pid() -> int:
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


STALE: list[tuple[str, Any, float]] = [
    ("a process that is gone", lambda: here(dead_pid()), 0),
    ("its number given to another", lambda: here(os.getppid(), started=0.0), 0),
    ("silent elsewhere", lambda: {"host": "elsewhere", "pid": 1}, module.STALE_LOCK_S + 5),
    ("killed while writing the lock", lambda: "", module.UNREADABLE_LOCK_S + 5),
    ("damaged", lambda: '{"host": "e', module.UNREADABLE_LOCK_S + 5),
    ("not a lock", lambda: "[1]", module.UNREADABLE_LOCK_S + 5),
]


@pytest.mark.parametrize(("owner", "age"), [s[1:] for s in STALE], ids=[s[0] for s in STALE])
def test_stale_locks_are_taken_over(tmp_path: Path, owner: Any, age: float) -> None:
    write_lock(tmp_path, owner(), age_s=age)
    with RunLock(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


ALIVE: list[tuple[str, Any, float]] = [
    ("alive", lambda: here(os.getppid(), started=psutil.Process(os.getppid()).create_time()), 10_000),
    ("alive, older lock", lambda: here(os.getppid()), 10_000),
    ("elsewhere", lambda: {"host": "elsewhere", "pid": 1}, module.STALE_LOCK_S - 60),
    ("just being written", lambda: "", 0),
]


@pytest.mark.parametrize(("owner", "age"), [s[1:] for s in ALIVE], ids=[s[0] for s in ALIVE])
def test_locks_of_the_living_are_kept(tmp_path: Path, owner: Any, age: float) -> None:
    lock = write_lock(tmp_path, owner(), age_s=age)
    before = lock.read_text()
    with pytest.raises(RunError, match="Another run is writing") as caught, RunLock(tmp_path):
        pass
    assert "\n" not in str(caught.value)
    assert lock.read_text() == before


def test_a_beat_shows_that_the_run_is_alive(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        os.utime(lock.path, (0, 0))
        lock.beat()
        assert time.time() - lock.path.stat().st_mtime < 60
        lock.path.unlink()
        lock.beat()
