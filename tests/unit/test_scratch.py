"""Working files: an existing table means done, and a changed fingerprint is reported."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import pytest
import zarr

from tlseg.errors import LabelError, ResumeError, RunError
from tlseg.store.fs.atomic import write_atomically
from tlseg.store.working.scratch import LostWorkError, Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(str(tmp_path / "scratch")).begin({"a": 1})


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


def test_what_could_not_be_read_again_is_not_put(scratch: Scratch) -> None:
    for values in (np.array([1, None]), np.array([(1, {})], dtype=[("a", int), ("b", object)])):
        with pytest.raises(TypeError, match="mixed of stage flood holds Python objects"):
            scratch.put("flood", 3, 7, x=np.arange(5), mixed=values)
    assert scratch.done("flood", 3) == set()


@pytest.mark.parametrize("keep", [0, 10, 200, 1000])
def test_a_damaged_table_costs_its_frame(scratch: Scratch, keep: int) -> None:
    """Even one that a power cut left with its full length, but all zeros."""
    for frame in (3, 4):
        for stage in ("detect", "flood"):
            scratch.put(stage, frame, 0, x=np.arange(1000))
    for stage in ("statistics", "nucleus"):
        scratch.put(stage, 3, 0)
    path = scratch.path / "tables/flood/000003/00000000.npz"
    path.write_bytes(path.read_bytes()[:keep] if keep < 1000 else bytes(path.stat().st_size))
    with pytest.raises(
        LostWorkError, match=r"is damaged or missing\. Run the same command again to redo frame 3"
    ) as caught:
        scratch.get("flood", 3, 0)
    assert str(path) in str(caught.value)
    assert (caught.value.exit_code, isinstance(caught.value, ResumeError)) == (1, False), "nothing was asked for badly"
    again = pickle.loads(pickle.dumps(caught.value))  # as it comes from a worker
    assert (str(again), again.frame) == (str(caught.value), 3)
    assert scratch.done("detect", 3), "only who holds the lock forgets"
    scratch.forget(again.frame)
    assert not scratch.done("flood", 3) | scratch.done("detect", 3)
    assert scratch.done("flood", 4) == scratch.done("detect", 4) == scratch.done("statistics", 3) == {0}
    assert scratch.done("nucleus", 3) == {0}


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
    scratch.write("maps", (...,), np.full((2, 32, 32), fill, np.uint8))


def test_arrays_are_made_once(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 5)
    scratch.create("maps", shape=(9, 9, 9), dtype="uint8", shards=(9, 9, 9), chunks=(9, 9, 9))
    assert scratch.array("maps").shape == (2, 32, 32)
    assert (scratch.array("maps")[:] == 5).all()


def test_what_is_zero_is_there(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 0)
    assert not scratch.read("maps", (0, slice(None), slice(5, 9)), frame=0).any()


def test_what_is_zero_is_there_whatever_other_threads_configure(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zarr's configuration is one for all threads of a process."""

    def meanwhile(*arguments: Any, **settings: Any) -> Any:
        with zarr.config.set({"array.write_empty_chunks": False}):
            return opened(*arguments, **settings)

    opened = zarr.open_array
    monkeypatch.setattr(zarr, "open_array", meanwhile)
    scratch.create("labels", shape=(1, 4, 4, 4), dtype="uint32", shards=(1, 4, 4, 4), chunks=(1, 4, 4, 4))
    scratch.write("labels", (0,), np.zeros((4, 4, 4), np.uint32))
    assert not scratch.read("labels", (0,), frame=0).any()


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [lose, cut, empty, blank, flip])
@pytest.mark.parametrize("shards", [(1, 32, 32), (1, 16, 16)], ids=["sharded", "chunks"])
def test_pixels_that_are_lost_are_no_zeros(scratch: Scratch, damage: Any, shards: tuple[int, ...]) -> None:
    create(scratch, shards, 5)
    assert (scratch.read("maps", (0,), frame=7) == 5).all()
    damage(next(path for path in sorted((scratch.path / "maps/c/0").rglob("*")) if path.is_file()))
    with pytest.raises(LostWorkError, match="redo frame 7"):
        scratch.read("maps", (0,), frame=7)
    assert (scratch.read("maps", (1,), frame=8) == 5).all()


def test_a_dropped_frame_frees_its_files(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 5)
    assert scratch.holds("maps", 0)
    scratch.drop("maps", 0)
    scratch.drop("maps", 0)
    assert not scratch.holds("maps", 0)
    assert not (scratch.path / "maps/c/0").exists()
    with pytest.raises(LostWorkError):
        scratch.read("maps", (0,), frame=0)
    assert (scratch.read("maps", (1,), frame=1) == 5).all()


# --- leases ---------------------------------------------------------------------------------------------------------


def test_what_is_left_of_another_run_writes_nothing(scratch: Scratch) -> None:
    """A task that outlived its run after the next has begun: what it refers to is no longer there."""
    create(scratch, (1, 32, 32), 5)
    new = scratch.begin({"a": 2})
    create(new, (1, 16, 16), 6)
    new.put("flood", 0, 0)
    before = sorted(new.path.rglob("*"))
    for act in (
        lambda: scratch.write("maps", (0,), np.zeros((32, 32), np.uint8)),
        lambda: scratch.put("flood", 0, 1),
        lambda: scratch.read("maps", (0,), frame=0),
        lambda: scratch.get("flood", 0, 0),
        scratch.hold,
    ):
        with pytest.raises(RunError, match="is over, so it writes nothing"):
            act()
    assert not scratch.path.exists()
    assert sorted(new.path.rglob("*")) == before
    new.hold()


def test_a_run_that_ended_lets_nothing_be_written(scratch: Scratch) -> None:
    scratch.remove()
    with pytest.raises(
        RunError, match=rf"does not exist on {gethostname()}.*--scratch must name a folder that all workers can see"
    ):
        scratch.put("flood", 0, 0)
    assert not Path(scratch.folder).exists()


def test_a_worker_that_does_not_see_the_folder_says_so(scratch: Scratch) -> None:
    elsewhere = Scratch(f"{scratch.folder}-on-another-machine", scratch.lease)
    for act in (
        lambda: elsewhere.put("flood", 0, 0),
        lambda: elsewhere.get("flood", 0, 0),
        lambda: elsewhere.read("maps", (0,), frame=0),
    ):
        with pytest.raises(RunError, match=f"{elsewhere.folder}, .* does not exist on {gethostname()}"):
            act()


def test_a_lease_is_found_again(scratch: Scratch) -> None:
    scratch.put("flood", 0, 3)
    again = Scratch.at(scratch.folder)
    assert again == scratch
    assert again.done("flood", 0) == {3}
    assert Scratch.at(scratch.folder + "-other").done("flood", 0) == set()


def test_a_run_deletes_runs_and_nothing_else(scratch: Scratch) -> None:
    folder, outside = Path(scratch.folder), Path(scratch.folder).parent / "outside"
    for kept in (folder / "photos", folder / "0123456789abc", outside):
        kept.mkdir()
        (kept / "file").write_text("")
    (folder / "0123456789ab").symlink_to(outside)
    scratch.begin({"a": 2})
    assert not scratch.path.exists()
    assert all((kept / "file").exists() for kept in (folder / "photos", folder / "0123456789abc", outside))


def test_nothing_is_deleted_behind_a_link(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs/0123456789ab"
    theirs.mkdir(parents=True)
    (tmp_path / "scratch").symlink_to(theirs.parent)
    with pytest.raises(LabelError, match=r"is a link.*--scratch"):
        Scratch(str(tmp_path / "scratch")).begin({})
    assert theirs.exists()


# --- fingerprint ----------------------------------------------------------------------------------------------------


def test_the_same_fingerprint_goes_on(tmp_path: Path) -> None:
    empty = Scratch(str(tmp_path / "scratch"))
    wanted = {"frames": (0, 3), "settings": {"threshold": 128, "deep": {"x": None}}}
    assert not empty.continues(wanted)
    scratch = empty.begin(wanted)
    assert scratch.continues(wanted)
    assert scratch.continues(json.loads(json.dumps(wanted)))
    assert scratch.fingerprint() == json.loads(json.dumps(wanted))


def test_overwriting_goes_on_with_overwriting_only(tmp_path: Path) -> None:
    wanted = {"a": 1}
    plain = Scratch(str(tmp_path / "scratch")).begin(wanted)
    assert not plain.continues(wanted, overwrite=True)
    replacing = plain.begin(wanted, overwrite=True)
    assert replacing.continues(wanted, overwrite=True)
    assert not replacing.continues({"a": 2}, overwrite=True)
    assert replacing.continues(wanted)


def test_another_fingerprint_is_told_with_every_difference(tmp_path: Path) -> None:
    scratch = Scratch(str(tmp_path / "scratch")).begin(
        {"frames": [0, 3], "settings": {"a": 1, "b": {"c": 2}}, "gone": True, "digest": "a0" * 32}
    )
    with pytest.raises(ResumeError) as caught:
        scratch.continues({"frames": [0, 4], "settings": {"a": 1, "b": {"c": 3}}, "new": 1, "digest": "b1" * 32})
    assert "digest was a0a0a0a0a0a0, is b1b1b1b1b1b1;" in str(caught.value)
    for part in (
        "frames was [0, 3], is [0, 4]",
        "settings.b.c was 2, is 3",
        "gone was True, is not set",
        "new was not set",
    ):
        assert part in str(caught.value)
    assert "settings.a" not in str(caught.value)


def test_after_removal_anything_may_begin(scratch: Scratch) -> None:
    create(scratch, (1, 32, 32), 5)
    scratch.remove()
    assert not Path(scratch.folder).exists()
    scratch.remove()
    assert not scratch.continues({"other": 1})


@pytest.mark.parametrize("content", ['{"a":', "\0" * 40, "[]", "{}"])
def test_a_damaged_fingerprint_is_told(scratch: Scratch, content: str) -> None:
    (Path(scratch.folder) / "fingerprint.json").write_text(content)
    found = Scratch.at(scratch.folder)
    with pytest.raises(ResumeError, match=r"damaged\. Start over with --overwrite"):
        found.continues({"a": 1})
    assert not found.continues({"a": 1}, overwrite=True)
    assert found.begin({"a": 1}).continues({"a": 1})


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match=r"where working files go, cannot be written to .*permissions"):
        Scratch(str(tmp_path / "file/scratch")).begin({})
