"""Staged output takes its name once it is whole; one start at a time, whatever an earlier one left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlseg.errors import LabelError, RunError
from tlseg.store.fs.place import Place
from tlseg.store.locks import whole
from tlseg.store.locks.lock import FolderLock
from tlseg.store.locks.whole import staged


def anything() -> None:
    """Whatever is there may be replaced."""


def nothing_at(target: Path) -> Callable[[], None]:
    def check() -> None:
        if target.exists():
            raise LabelError(f"{target} exists.")

    return check


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def stage(target: Path, then: Callable[[Path], Any], *, check: Callable[[], None] = anything) -> None:
    with staged(Place(str(target)), check=check) as part:
        part.path.write_text("new")
        then(part.path)


def test_what_is_staged_takes_its_name_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    with staged(Place(str(target)), check=anything) as part:
        part.path.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names(target.parent) == ["file"]


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(target, stop)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_second_start_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    target = Place(str(tmp_path / "folder"))
    with staged(target, check=anything) as part:
        (part / "a").write(b"1")
        with pytest.raises(RunError, match="Another run is writing"), staged(target, check=anything):
            pass
        (part / "b").write(b"2")
    assert names(target.path) == ["a", "b"]
    assert names(tmp_path) == ["folder"]


def test_what_a_kill_left_is_dropped(tmp_path: Path) -> None:
    work = tmp_path / ".folder.partial"
    for left in (work / "folder" / "old", work / "0" / "as-earlier-versions"):
        left.mkdir(parents=True)
    with staged(Place(str(tmp_path / "folder")), check=anything) as part:
        (part / "a").write(b"1")
    assert names(tmp_path / "folder") == ["a"]
    assert names(tmp_path) == ["folder"]


def test_a_kill_between_two_renames_hinders_nobody(tmp_path: Path) -> None:
    for left in (tmp_path / "folder" / "old", tmp_path / ".folder.old" / "older"):
        left.mkdir(parents=True)
    with staged(Place(str(tmp_path / "folder")), check=anything) as part:
        (part / "a").write(b"1")
    assert names(tmp_path / "folder") == ["a"]
    assert names(tmp_path) == ["folder"]


def test_who_lost_the_lock_neither_publishes_nor_tidies_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FolderLock(Place(str(tmp_path / ".file.partial")))
    monkeypatch.setattr(whole, "lock_of", lambda _: lock)
    parts = []

    def lose(part: Path) -> None:
        parts.append(part)
        lock.lost = "taken"

    with pytest.raises(RunError, match="taken"):
        stage(tmp_path / "file", lose)
    assert not (tmp_path / "file").exists()
    assert parts[0].read_text() == "new", "it may be of who took the lock"


def test_what_another_start_finished_before_the_lock_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"

    def late(folder: Place) -> FolderLock:
        target.write_text("theirs")
        return FolderLock(folder)

    monkeypatch.setattr(whole, "lock_of", late)
    with pytest.raises(LabelError, match="exists"):
        stage(target, lambda _: pytest.fail("it was written"), check=nothing_at(target))
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["file"]


def test_what_came_while_it_was_written_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(LabelError, match="exists"):
        stage(target, lambda _: target.write_text("theirs"), check=nothing_at(target))
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["file"]
