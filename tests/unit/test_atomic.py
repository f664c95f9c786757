"""Replacing a file: readers see either the old or the new one, and no temporary files are left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlseg.store.fs.atomic import replacing, write_atomically


def test_what_is_not_written_to_its_end_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    write_atomically(path, b"old")

    def stopped() -> None:
        with replacing(path) as beside:
            beside.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


def test_what_stands_in_for_a_file_ends_as_it_does_and_is_new_each_time(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.png") as one, replacing(tmp_path / "a.png") as other:
        assert {one.suffix, other.suffix} == {".png"}
        assert one != other
        one.write_bytes(b"1")
        other.write_bytes(b"2")
    assert (tmp_path / "a.png").read_bytes() == b"1", "the last to end"


def test_what_a_kill_left_under_a_given_name_is_written_over(tmp_path: Path) -> None:
    path, left = tmp_path / "last.pt", tmp_path / "last.part"
    left.write_bytes(b"half")
    with replacing(path, beside=left) as beside:
        beside.write_bytes(b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
