"""Changes to what the labels of a group share wait for their turn: a dead holder is passed over, and no wait is endless."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest

from tlseg.errors import RunError
from tlseg.store.fs.place import Place
from tlseg.store.locks import group_lock as module
from tlseg.store.locks.group_lock import TURN, turn


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(module, "ASK_S", 0.001)
    return Place(str(tmp_path))


def hold(group: Place, pid: int) -> None:
    """Leave a lock held by a process of this machine."""
    (group.path / TURN).mkdir()
    (group.path / TURN / "theirs").write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))


def test_of_many_at_once_all_get_their_turn_one_after_the_other(group: Place) -> None:
    counter, many = group.path / "counter", 8
    counter.write_text("0")

    def count() -> None:
        for _ in range(5):
            with turn(group):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == str(5 * many)
    assert group.names() == ["counter"], "no lock is left"


def test_a_turn_is_over_when_its_holder_is_gone(group: Place) -> None:
    hold(group, pid=2**22 + 1)
    with turn(group):
        pass
    assert not group.names()


def test_a_turn_is_over_when_what_was_done_failed(group: Place) -> None:
    with pytest.raises(ZeroDivisionError), turn(group):
        raise ZeroDivisionError
    assert not group.names()


def test_who_is_alive_is_not_waited_for_for_ever(group: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    hold(group, pid=os.getppid())
    with pytest.raises(RunError, match=f"could not be changed for .* minutes.*process {os.getppid()}"), turn(group):
        pass
    assert group.names() == [TURN]
