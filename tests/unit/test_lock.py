"""Locks in folders: one run at a time, however they interleave; only the locks of dead runs are taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psutil
import pytest

from tlseg.errors import LabelError, RunError
from tlseg.store.fs.place import Place
from tlseg.store.locks import lock as module
from tlseg.store.locks import owner
from tlseg.store.locks.lock import FolderLock, Held, ObjectLock, held_lock, lock_of
from tlseg.store.locks.owner import STALE_LOCK_S


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(str(tmp_path))


def write_lock(folder: Place, text: str | dict[str, Any], *, age_s: float = 0.0) -> Path:
    """Replace the lock that is there by another."""
    lock = folder.path / "run.lock"
    lock.mkdir(exist_ok=True)
    for old in lock.iterdir():
        old.unlink()
    file = lock / "theirs"
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    os.utime(file, (time.time() - age_s,) * 2)
    return file


def here(pid: int, **more: Any) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": pid, **more}


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def began() -> float:
    return float(psutil.Process(os.getppid()).create_time())


def test_a_lock_keeps_others_out_until_it_is_left(folder: Place) -> None:
    with FolderLock(folder) as lock:
        with pytest.raises(RunError, match=f"process {os.getpid()} on {socket.gethostname()}"), FolderLock(folder):
            pass
        held = held_lock(folder)
        assert held is not None
        assert (held.token, held.alive) == (lock.token, True)
    with FolderLock(folder):
        pass
    assert not folder.names(), "nothing is left behind"


def test_a_lock_is_left_when_the_run_fails(folder: Place) -> None:
    with pytest.raises(ZeroDivisionError), FolderLock(folder):
        raise ZeroDivisionError
    assert not folder.names()


@pytest.mark.parametrize(("error", "told"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError("away"), LabelError)])
def test_a_lock_that_fails_while_it_settles_is_left(
    monkeypatch: pytest.MonkeyPatch, error: Any, told: type[BaseException]
) -> None:
    store = Place(f"memory://{uuid4().hex}/tlseg")

    def fail(_: float) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, "time", SimpleNamespace(sleep=fail, time=time.time))
        with pytest.raises(told), lock_of(store):
            pass
    assert held_lock(store) is None


def test_a_lock_whose_holder_cannot_show_that_it_lives_is_left(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(module.threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError, match="thread"), lock_of(folder):
            pass
    assert held_lock(folder) is None


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match=r"cannot be written to .*--out"), FolderLock(Place(f"{tmp_path}/file/run")):
        pass


STALE: list[tuple[str, Any, float]] = [
    ("a process that is gone", lambda: here(dead_pid()), 0),
    ("its number given to another", lambda: here(os.getppid(), birth="a boot:7", started=began()), 0),
    ("its number given to another, older lock", lambda: here(os.getppid(), started=0.0), STALE_LOCK_S + 5),
    ("silent elsewhere", lambda: {"host": "elsewhere", "pid": 1}, STALE_LOCK_S + 5),
    ("emptied by a power cut", lambda: "", 0),
    ("damaged", lambda: '{"host": "e', 0),
    ("not a lock", lambda: "[1]", 0),
]


@pytest.mark.parametrize(("who", "age"), [s[1:] for s in STALE], ids=[s[0] for s in STALE])
def test_stale_locks_are_taken_over(folder: Place, who: Any, age: float) -> None:
    write_lock(folder, who(), age_s=age)
    with FolderLock(folder):
        held = held_lock(folder)
        assert held is not None
        assert held.owner is not None
        assert held.owner.pid == os.getpid()
    assert not folder.names()


@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b"[]", b"\xff"])
def test_an_object_that_says_nothing_is_nobodys_lock(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0.0)
    store = Place(f"memory://{uuid4().hex}/tlseg")
    (store / "run.lock").write(content)
    with ObjectLock(store) as lock:
        held = held_lock(store)
        assert held is not None
        assert held.token == lock.token
    assert held_lock(store) is None


def test_an_empty_lock_is_nobodys(folder: Place) -> None:
    """Its holder was killed while releasing it."""
    (folder.path / "run.lock").mkdir()
    assert held_lock(folder) is None
    with FolderLock(folder) as lock:
        lock.beat()


ALIVE: list[tuple[str, Any, float]] = [
    ("alive", lambda: here(os.getppid(), started=began()), 10_000),
    ("the clock was set, older lock", lambda: here(os.getppid(), started=began() - 3600), 60),
    ("alive, older lock", lambda: here(os.getppid()), 10_000),
    ("elsewhere", lambda: {"host": "elsewhere", "pid": 1}, STALE_LOCK_S - 60),
]


@pytest.mark.parametrize(("who", "age"), [s[1:] for s in ALIVE], ids=[s[0] for s in ALIVE])
def test_locks_of_the_living_are_kept(folder: Place, who: Any, age: float) -> None:
    file = write_lock(folder, who(), age_s=age)
    before = file.read_text()
    with pytest.raises(RunError, match="Another run is writing") as caught, FolderLock(folder):
        pass
    assert "\n" not in str(caught.value)
    assert file.read_text() == before
    assert folder.names() == ["run.lock"]


@pytest.mark.parametrize("step", [-86_400.0, -5.0, 5.0, 86_400.0])
def test_a_clock_that_is_set_costs_nobody_the_lock(folder: Place, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Linux derives a process's start from the current clock: if the clock is set, the first process's start changes too."""
    with FolderLock(folder):
        true = owner._began
        monkeypatch.setattr(owner, "_began", lambda pid: (true(pid) or 0.0) + step)
        os.utime(next((folder.path / "run.lock").iterdir()), (0, 0))
        with pytest.raises(RunError, match="Another run is writing"), FolderLock(folder):
            pass


def test_where_the_system_tells_no_boot_the_start_and_the_beat_count(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "PROC", folder.path / "none")
    with FolderLock(folder):
        file = next((folder.path / "run.lock").iterdir())
        document = json.loads(file.read_text())
        assert document["birth"] is None
        file.write_text(json.dumps(document | {"started": document["started"] - 3600}))
        for age, alive in ((60, True), (STALE_LOCK_S + 5, False)):
            os.utime(file, (time.time() - age,) * 2)
            held = held_lock(folder)
            assert held is not None
            assert held.alive is alive


def test_who_looked_too_long_ago_takes_nothing(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run finds the lock of a dead run, but before it can take it, another run does."""
    write_lock(folder, here(dead_pid()))
    quick, slow = FolderLock(folder), FolderLock(folder)
    looks = []

    def look(folder: Place, name: str) -> Held | None:
        found = held_lock(folder, name)
        looks.append(found)
        if len(looks) == 1:
            quick.__enter__()
        return found

    monkeypatch.setattr(module, "held_lock", look)
    with pytest.raises(RunError, match="Another run is writing"):
        slow.__enter__()
    held = held_lock(folder)
    assert held is not None
    assert held.token == quick.token
    quick.__exit__(None, None, None)


def test_of_many_at_once_one_takes_the_lock_of_a_dead_run(folder: Place) -> None:
    pid, many = dead_pid(), 8
    together = threading.Barrier(many)

    def enter(_: int) -> FolderLock | None:
        lock = FolderLock(folder)
        together.wait()
        try:
            return lock.__enter__()
        except RunError:
            return None

    with ThreadPoolExecutor(many) as pool:
        for _ in range(20):
            write_lock(folder, here(pid))
            (holder,) = (lock for lock in pool.map(enter, range(many)) if lock is not None)
            held = held_lock(folder)
            assert held is not None
            assert held.token == holder.token
            holder.__exit__(None, None, None)
            assert not folder.names()


def test_a_beat_shows_that_the_run_is_alive(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if nothing is finished for a while: a task may take longer than others wait."""
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    with FolderLock(folder) as lock:
        file = folder.path / "run.lock" / lock.token
        os.utime(file, (0, 0))
        until(lambda: time.time() - file.stat().st_mtime < 60)
        lock.beat()


def test_a_sign_of_life_on_its_way_does_not_put_back_a_lock_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.001)
    monkeypatch.setattr(module, "SETTLE_S", 0.0)
    store, ready, go_on = Place(f"memory://{uuid4().hex}/tlseg"), threading.Event(), threading.Event()
    document = ObjectLock._document

    def slow(lock: ObjectLock) -> bytes:
        if threading.current_thread().name == "tlseg-lock":
            ready.set()
            go_on.wait(10)
        return document(lock)

    monkeypatch.setattr(ObjectLock, "_document", slow)
    lock = ObjectLock(store).__enter__()
    assert ready.wait(10)
    leaving = threading.Thread(target=lock.__exit__)
    leaving.start()
    leaving.join(0.2)
    go_on.set()
    leaving.join()
    time.sleep(0.1)
    assert held_lock(store) is None


def test_a_lock_that_another_run_took_stops_this_one(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    with FolderLock(folder) as lock:
        write_lock(folder, {"host": "elsewhere", "pid": 1})
        until(lambda: lock.lost)
        with pytest.raises(RunError, match=r"took over .* while this one was silent"):
            lock.beat()


def test_a_lock_that_another_run_took_is_not_given_back(folder: Place) -> None:
    """Even if the holder has not noticed yet."""
    with FolderLock(folder) as lock:
        theirs = write_lock(folder, {"host": "elsewhere", "pid": 1})
        assert not lock.lost
    assert theirs.exists(), "it is theirs now"


def until(true: Any) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
