"""What counts as written is on the disk: pixels before their region is recorded, everything before `complete`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runs import inputs, run
from tlseg.store.fs import durable
from tlseg.store.working.scratch import Scratch


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths that were flushed, as long as they have not changed since."""
    paths: set[str] = set()
    fsync = os.fsync

    def seen(handle: int) -> None:
        paths.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(durable.os, "fsync", seen)
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which file a handle is")
def test_nothing_is_recorded_before_it_is_on_the_disk(
    tmp_path: Path, flushed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    movie, model = inputs(tmp_path, frames=2)
    out, put = tmp_path / "out.ome.zarr", Scratch.put
    records = []

    def pixels() -> set[str]:
        arrays = [*(out / "labels" / "nuclei").glob("*/c"), *out.glob("[0-9]*/c")]
        return {str(path) for array in arrays for path in array.rglob("*")}

    def recorded(self: Scratch, stage: str, frame: int, number: int, **arrays: object) -> None:
        if stage == "write":
            records.append(frame)
            assert pixels(), "there are pixels to wait for"
            assert pixels() <= flushed
        put(self, stage, frame, number, **arrays)

    monkeypatch.setattr(Scratch, "put", recorded)
    run(movie, model, out=out)
    assert sorted(records) == [0, 1]
    told = {str(path) for path in out.rglob("*") if path.name != "events.jsonl" and "scratch" not in path.parts}
    for path in (*told, str(out)):
        assert path in flushed, path


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which file a handle is")
def test_a_file_is_waited_for_with_its_name_in_every_folder(tmp_path: Path, flushed: set[str]) -> None:
    file = tmp_path / "group" / "c" / "1" / "0"
    file.parent.mkdir(parents=True)
    file.touch()
    durable.flush([file], below=tmp_path / "group")
    assert flushed == {str(place) for place in (file, *file.parents[:3])}


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    durable.flush([tmp_path / "a" / "b"], below=tmp_path)
    durable.flush_tree(tmp_path / "none")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="No space"):
        durable.flush([tmp_path / "a"], below=tmp_path)
