"""What a run leaves behind never affects another: tasks that outlive their run, full disks, stores that refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runs import essence, inputs, run, tree
from tlseg.errors import RunError
from tlseg.run import stages
from tlseg.store.working.scratch import LostWorkError, Scratch

STAGES = ["predict", "detect", "number", "flood", "measure", "summarise", "write"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie of two frames, a model, and an undisturbed run in `result.zarr`."""
    folder = tmp_path_factory.mktemp("leases")
    movie, model = inputs(folder, frames=2)
    run(movie, model, out=folder / "result.zarr")
    return folder


def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], Any]]:
    """Remember a task of each stage as a worker has it: with the arguments it was sent."""
    tasks: dict[str, Callable[[], Any]] = {}

    def spy(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def task(*arguments: Any) -> Any:
            tasks.setdefault(stage, lambda: function(*arguments))
            return function(*arguments)

        return task

    for stage in STAGES:
        monkeypatch.setattr(stages, stage, spy(stage, getattr(stages, stage)))
    return tasks


def test_tasks_that_outlive_their_run_change_nothing(base: Path, tmp_path: Path) -> None:
    """On a worker that cannot be stopped, they run on after their run has ended, and while the next is under way."""
    movie, model, out = base / "movie.ome.zarr", base / "model", tmp_path / "out.zarr"
    with pytest.MonkeyPatch.context() as patch:
        left_over = recorded(patch)
        run(movie, model, out=out, method="components", block=(16, 48, 48))
        assert {"predict", "detect", "measure", "summarise", "write"} <= set(left_over)
    before = tree(out)
    for task in left_over.values():
        with pytest.raises(RunError, match=r"does not exist on .*, so its task writes nothing"):
            task()
    assert tree(out) == before

    flood = stages.flood

    def meanwhile(*arguments: Any) -> Any:
        for task in left_over.values():
            with pytest.raises(RunError, match="is over, so it writes nothing"):
                task()
        return flood(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "flood", meanwhile)
        run(movie, model, out=out, overwrite=True)
    assert essence(out) == essence(base / "result.zarr")


def test_a_task_done_twice_does_no_harm(base: Path, tmp_path: Path) -> None:
    """A worker believed dead finishes late: what its task needs is gone by then, and must not be read as zeros."""
    movie, model, out = base / "movie.ome.zarr", base / "model", tmp_path / "out.zarr"
    write, tried = stages.write, []

    def late(*arguments: Any) -> Any:
        if not tried:
            for stage in ("detect", "flood", "measure"):
                # Flood finds its maps gone; what detect and measure did is still there.
                with pytest.raises(LostWorkError) if stage == "flood" else nullcontext():
                    left_over[stage]()
                tried.append(stage)
        return write(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        left_over = recorded(patch)
        patch.setattr(stages, "write", late)
        run(movie, model, out=out)
    assert tried == ["detect", "flood", "measure"]
    assert essence(out) == essence(base / "result.zarr")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space is left: free some"),
        (errno.EDQUOT, "No space is left: free some"),
        (errno.EROFS, "The output cannot be written to: fix its permissions"),
    ],
    ids=["full", "quota", "read-only"],
)
def test_a_store_that_takes_no_more(base: Path, tmp_path: Path, number: int, said: str) -> None:
    """One line and no retry; once there is space again, the same command continues."""
    out, write, calls = tmp_path / "out.zarr", Scratch.write, []

    def refuse(self: Scratch, name: str, place: Any, values: np.ndarray) -> None:
        if name == "maps":
            calls.append(place)
            if len(calls) > 1:
                raise OSError(number, os.strerror(number), name)
        write(self, name, place, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scratch, "write", refuse)
        with pytest.raises(RunError, match=rf"Stage detect failed on frame 0, region 1: .*{said}") as caught:
            run(base / "movie.ome.zarr", base / "model", out=out)
    assert "\n" not in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert len(calls) == 2
    assert run(base / "movie.ome.zarr", base / "model", out=out).resumed
    assert essence(out) == essence(base / "result.zarr")
