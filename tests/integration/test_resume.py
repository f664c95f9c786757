"""A run stopped anywhere continues with the same command: the same bytes as if uninterrupted, nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zarr

from handmade import save_threshold_model, write_movie
from runs import BLOCK, essence, inputs, labels_of, planned, run, small_movie, tree
from tlseg.errors import LabelError, ResumeError, RunError, TlsegError
from tlseg.link.settings import LinkSettings
from tlseg.report.write import write_report
from tlseg.run import components, finish, frames, nucleus, publish, stages
from tlseg.run import segment as segment_module
from tlseg.run.watch.event_log import read_events
from tlseg.run.watch.events import Notice
from tlseg.run.watch.status import unfinished_run
from tlseg.store.fs.place import Place
from tlseg.store.image.image_writer import ImageCopy
from tlseg.store.labels import protect
from tlseg.store.labels.label_writer import LabelWriter
from tlseg.store.labels.result import open_result
from tlseg.store.locks.lock import held_lock
from tlseg.store.working.scratch import LostWorkError, Scratch

FIRST: dict[str, Any] = {"frames": "0:1", "block": (32, 48, 48)}
STAGES = ["predict", "detect", "number", "flood", "measure", "summarise", "write"]


class Stopped(Exception):
    """The exception with which tests stop a run."""


@contextmanager
def stopping(owner: Any, name: str, *, after: int) -> Iterator[list[tuple[Any, ...]]]:
    """Make a function raise from its call number `after` (from 0) on; yields the arguments of calls before."""
    original = getattr(owner, name)
    calls: list[tuple[Any, ...]] = []

    def stub(*args: Any, **kwargs: Any) -> Any:
        if len(calls) >= after:
            raise Stopped(name)
        result = original(*args, **kwargs)
        calls.append(args)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, stub)
        yield calls


@contextmanager
def counting() -> Iterator[Counter[Any]]:
    """Count calls of every stage by stage and region."""
    done: Counter[Any] = Counter()

    def spy(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(context: Any, *args: Any) -> Any:
            result = function(context, *args)
            units = [(args[0], *unit) for unit in args[1]] if name == "predict" else [args]
            for unit in units:
                done[(name, *(unit[1:] if name == "write" else unit))] += 1
            return result

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in STAGES:
            patch.setattr(stages, name, spy(name, getattr(stages, name)))
        yield done


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie, a model, and undisturbed runs in `result.zarr` and, of the first frame, `first.zarr`."""
    folder = tmp_path_factory.mktemp("resume")
    movie, model = inputs(folder, frames=2)
    run(movie, model, out=folder / "result.zarr", keep_maps=True)
    run(movie, model, out=folder / "first.zarr", keep_maps=True, **FIRST)
    return folder


def start(base: Path, out: Path, **settings: Any) -> Any:
    return run(base / "movie.ome.zarr", base / "model", out=out, keep_maps=True, **settings)


def assert_undisturbed(base: Path, out: Path, *, like: str = "result.zarr") -> None:
    assert essence(out) == essence(base / like)
    for array in ("0", "tlseg/nuclei/maps"):
        expected = zarr.open_array(base / like / array, mode="r")[:]
        np.testing.assert_array_equal(zarr.open_array(out / array, mode="r")[:], expected)
    assert {p.name for p in (out / "tlseg/nuclei").iterdir()} == {"run.json", "audit.json", "events.jsonl", "maps"}
    assert open_result(out).record["complete"] is True


def test_a_resumed_run_scales_saturated_and_padded_frames_alike(tmp_path: Path) -> None:
    save_threshold_model(tmp_path / "model", window=(16, 32, 32))
    movie = small_movie(2)
    movie = movie + np.random.default_rng(0).normal(100, 3, movie.shape)
    movie = np.pad(np.minimum(movie, 500), [(0, 0), (0, 0), (32, 32), (32, 32)]).astype(np.uint16)
    path = write_movie(tmp_path / "movie.ome.zarr", movie)
    run(path, tmp_path / "model", out=tmp_path / "whole.ome.zarr")
    with stopping(stages, "predict", after=1), pytest.raises(RunError, match="Stopped"):
        run(path, tmp_path / "model", out=tmp_path / "resumed.ome.zarr")
    assert run(path, tmp_path / "model", out=tmp_path / "resumed.ome.zarr").resumed
    assert np.array_equal(labels_of(tmp_path / "whole.ome.zarr"), labels_of(tmp_path / "resumed.ome.zarr"))
    for name in ("whole", "resumed"):
        record = open_result(tmp_path / f"{name}.ome.zarr").record
        low, high = record["first_frame"]
        assert low > 90, "zeros are not dark"
        assert high > 500
        share = (movie == movie.max()).mean(axis=(1, 2, 3))
        assert record["saturated"] == {"frames": 2, "worst": int(share.argmax()), "share": share.max()}


def test_a_run_inside_a_movie_moves_with_it(base: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.ome.zarr", tmp_path / "after.ome.zarr"
    shutil.copytree(base / "movie.ome.zarr", before)
    with stopping(stages, "flood", after=0), pytest.raises(RunError):
        run(before, base / "model", **FIRST)
    before.rename(after)
    found = unfinished_run(after)
    assert found is not None
    assert found.source.url == str(after)
    done = run(after, base / "model", **FIRST)
    assert done.resumed
    np.testing.assert_array_equal(labels_of(after)[0], labels_of(base / "first.zarr")[0])
    assert write_report(after, out=tmp_path / "report.html").facts.movie == str(after)


# --- every stage ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wanted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Counter[Any]:
    """Every call of an undisturbed run."""
    with counting() as calls:
        start(base, tmp_path_factory.mktemp("whole") / "out.zarr")
    return calls


@pytest.mark.parametrize("stage", STAGES)
def test_stopped_in_a_stage(base: Path, tmp_path: Path, wanted: Counter[Any], stage: str) -> None:
    out = tmp_path / "out.zarr"
    total = sum(n for key, n in wanted.items() if key[0] == stage)
    calls = 3 if stage == "predict" else max(1, total // 2)  # one call predicts several windows
    with counting() as before, stopping(stages, stage, after=calls), pytest.raises(RunError) as caught:
        start(base, out)
    assert f"Stage {stage} failed 3 times on frame" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    with pytest.raises(LabelError, match="no finished labels"):
        open_result(out)
    with counting() as after:
        summary = start(base, out)
    assert summary.resumed
    assert_undisturbed(base, out)
    assert set(before).isdisjoint(after), "what was done is not done again"
    assert before + after == wanted


def test_stopped_in_statistics(tmp_path: Path) -> None:
    movie, model = inputs(tmp_path, frames=3)
    out, undisturbed = tmp_path / "out.zarr", tmp_path / "undisturbed.zarr"
    run(movie, model, out=undisturbed)
    with stopping(stages, "find_statistics", after=2), pytest.raises(RunError, match=r"Stage statistics .* frame 2"):
        run(movie, model, out=out)
    with stopping(stages, "find_statistics", after=2) as calls:  # the first frame, to see that it is the same movie
        assert run(movie, model, out=out).resumed
    assert [frame for _, frame in calls] == [0, 2]
    assert essence(out) == essence(undisturbed)


def test_statistics_are_not_taken_again(base: Path, tmp_path: Path) -> None:
    with stopping(stages, "predict", after=1), pytest.raises(RunError):
        start(base, tmp_path / "out.zarr")
    with stopping(stages, "find_statistics", after=1):  # of the first frame, to see that it is the same movie
        start(base, tmp_path / "out.zarr")
    assert_undisturbed(base, tmp_path / "out.zarr")


def test_how_wide_nuclei_look_is_told_again_but_not_looked_at(base: Path, tmp_path: Path) -> None:
    """Not even where a frame is redone; only if what was seen is damaged."""
    with stopping(stages, "predict", after=1), pytest.raises(RunError):
        start(base, tmp_path / "out.zarr")
    (table,) = (tmp_path / "out.zarr").rglob("tables/nucleus/*/*.npz")
    Scratch.at(str(tmp_path / "out.zarr/tlseg/nuclei/scratch")).forget(int(table.parent.name))
    with (
        stopping(stages, "predict", after=0),
        stopping(nucleus, "seen_nucleus_um", after=0),
        pytest.raises(RunError, match="Stage predict"),
    ):
        start(base, tmp_path / "out.zarr")
    table.write_bytes(bytes(table.stat().st_size))
    with stopping(nucleus, "seen_nucleus_um", after=1) as calls:
        start(base, tmp_path / "out.zarr")
    assert len(calls) == 1
    assert_undisturbed(base, tmp_path / "out.zarr")


def test_a_table_is_written_after_its_pixels(base: Path, tmp_path: Path) -> None:
    """If stopped between pixels and table, the region is done again."""
    from tlseg.store.working.scratch import Scratch

    put = Scratch.put
    for stage in ("predict-ndn", "detect", "flood", "write"):
        out = tmp_path / f"{stage}.zarr"

        def failing(self: Any, name: str, *args: Any, stage: str = stage, **arrays: Any) -> None:
            if name == stage:
                raise Stopped(stage)
            put(self, name, *args, **arrays)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Scratch, "put", failing)
            with pytest.raises(RunError, match="Stopped"):
                start(base, out, **FIRST)
        start(base, out, **FIRST)
        assert_undisturbed(base, out, like="first.zarr")


def test_components_go_on_too(base: Path, tmp_path: Path) -> None:
    settings = {"method": "components", "block": (16, 48, 48)}
    start(base, tmp_path / "whole.zarr", **settings)
    out = tmp_path / "out.zarr"
    with stopping(frames, "label_components", after=1), pytest.raises(RunError):
        start(base, out, **settings)
    with stopping(stages, "predict", after=0), stopping(stages, "detect", after=0):
        assert start(base, out, **settings).resumed
    assert essence(out) == essence(tmp_path / "whole.zarr")
    assert components.label_components is frames.label_components


# --- the end of a run -----------------------------------------------------------------------------------------------

PUBLISHING: list[tuple[str, Any, str, int]] = [
    ("link", finish, "link_objects", 0),
    ("final numbers", finish, "link_frames", 0),
    ("image arrays", protect, "copy_image", 0),
    ("label arrays", publish, "create_labels", 0),
    ("table", publish, "write_rows", 0),
    ("tracks", publish, "write_graph", 0),
    ("image metadata", ImageCopy, "finish", 0),
    ("label metadata", LabelWriter, "finish", 0),
    ("maps", publish, "_keep_maps", 0),
    ("after the maps", publish, "_keep_maps", 1),
]


@pytest.mark.parametrize(("owner", "name", "after"), [p[1:] for p in PUBLISHING], ids=[p[0] for p in PUBLISHING])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_stopped_while_publishing(
    base: Path, tmp_path: Path, owner: Any, name: str, after: int, overwrite: bool
) -> None:
    out = tmp_path / "out.zarr"
    if overwrite:
        run(base / "movie.ome.zarr", base / "model", out=out, frames="1:2", block=(32, 48, 48))
    if after:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publish, "write_record", _fail_on(publish.write_record, "run.json"))
            with pytest.raises(Stopped):
                start(base, out, overwrite=overwrite, **FIRST)
    else:
        with stopping(owner, name, after=0), pytest.raises(Stopped):
            start(base, out, overwrite=overwrite, **FIRST)
    record = out / "tlseg/nuclei/run.json"
    if name not in ("link_objects", "link_frames"):
        assert not record.exists(), "no record says complete while labels are being replaced"
    # Until the old labels are touched they are a finished result: only --overwrite replaces them.
    again = overwrite and name in ("link_objects", "link_frames")
    with counting() as calls:
        summary = start(base, out, overwrite=again, **FIRST)
    assert_undisturbed(base, out, like="first.zarr")
    assert summary.resumed
    assert not {key[0] for key in calls} - {"write"}


def test_stopped_after_the_record(base: Path, tmp_path: Path) -> None:
    """Only cleaning up was left: the next start does it, and keeps the maps."""
    from tlseg.store.working.scratch import Scratch

    out = tmp_path / "out.zarr"
    with stopping(Scratch, "remove", after=0), pytest.raises(Stopped):
        start(base, out, **FIRST)
    assert open_result(out).record["complete"] is True
    start(base, out, **FIRST)
    assert_undisturbed(base, out, like="first.zarr")
    assert start(base, out, **FIRST).complete_already


def _fail_on(write: Callable[[Path, Any], None], name: str) -> Callable[[Path, Any], None]:
    def failing(path: Path, record: Any) -> None:
        if path.name == name:
            raise Stopped(name)
        write(path, record)

    return failing


# --- a run that is complete -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["tracks.geff", "labels/nuclei"])
def test_a_result_that_lost_a_part_is_not_complete(base: Path, tmp_path: Path, part: str) -> None:
    out = tmp_path / "out.zarr"
    start(base, out, **FIRST)
    shutil.rmtree(out / part)
    with pytest.raises(LabelError, match=r"already has labels 'nuclei'.*--overwrite"):
        start(base, out, **FIRST)


def test_the_same_run_again_touches_nothing(base: Path, tmp_path: Path) -> None:
    """However the work is cut, without workers, and even if labels were edited since."""
    out = tmp_path / "out.zarr"
    done = start(base, out, **FIRST)
    zarr.open_array(out / "labels/nuclei/0")[0, 0, 0, 0] = 77
    before = tree(out)
    with stopping(segment_module, "open_pool", after=0):
        again = start(base, out, **{**FIRST, "block": (16, 16, 48)})
    assert tree(out) == before
    assert (again.complete_already, again.resumed, done.complete_already) == (True, False, False)
    said = {key: value for key, value in again.to_dict().items() if key not in ("seconds", "complete_already")}
    assert json.loads(json.dumps(said)) == json.loads(json.dumps({key: done.to_dict()[key] for key in said}))


def test_labels_whose_table_is_gone_are_not_complete(base: Path, tmp_path: Path) -> None:
    import shutil

    out = tmp_path / "out.zarr"
    start(base, out, **FIRST)
    shutil.rmtree(out / "tables")
    with pytest.raises(LabelError, match=r"already has labels 'nuclei'\. Use --overwrite"):
        start(base, out, **FIRST)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Folder with its own movie and model, and a finished run in `out.zarr`."""
    movie, model = inputs(tmp_path, frames=1)
    run(movie, model, out=tmp_path / "out.zarr")
    return tmp_path


# --- another run ----------------------------------------------------------------------------------------------------


@pytest.fixture
def unfinished(base: Path, tmp_path: Path) -> Path:
    """Folder with its own movie and model, and an unfinished run in `out.zarr`."""
    movie, model = inputs(tmp_path, frames=1)
    with stopping(stages, "flood", after=1), pytest.raises(RunError):
        run(movie, model, out=tmp_path / "out.zarr")
    return tmp_path


def other_model(folder: Path) -> dict[str, Any]:
    save_threshold_model(folder / "model", window=(16, 32, 32), region_threshold=0.4)
    return {}


def other_movie(folder: Path) -> dict[str, Any]:
    import shutil

    shutil.rmtree(folder / "movie.ome.zarr")
    write_movie(folder / "movie.ome.zarr", small_movie(1), spacing_um=(1.6, 0.9, 0.9))
    return {}


def other_pixels(folder: Path) -> dict[str, Any]:
    pixels = zarr.open_array(folder / "movie.ome.zarr/0")
    pixels[...] = pixels[:] + 50
    return {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: {"block": (16, 16, 16)}, r"block was \[16, 32, 48\], is \[16, 16, 16\]"),
        (lambda folder: {"method": "components"}, "settings.method was qcanet, is components"),
        (lambda folder: {"keep_maps": True}, "keep_maps was False, is True"),
        (lambda folder: {"image": False}, "image was True, is False"),
        (other_model, "model.digest was .*; settings.region_threshold was 128, is 102"),
        (other_movie, r"input.spacing_um was \[1.6, 0.8, 0.8\], is \[1.6, 0.9, 0.9\]"),
        (other_pixels, "The pixels of .* are not those"),
    ],
    ids=["block", "method", "keep-maps", "no-image", "model", "movie", "pixels"],
)
def test_another_run_is_told_what_changed(
    unfinished: Path, change: Callable[[Path], dict[str, Any]], named: str
) -> None:
    settings = change(unfinished)
    before = tree(unfinished / "out.zarr")
    with pytest.raises(ResumeError, match=named) as caught:
        run(unfinished / "movie.ome.zarr", unfinished / "model", out=unfinished / "out.zarr", **settings)
    assert caught.value.exit_code == 2
    assert "--overwrite" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(unfinished / "out.zarr") == before


APART = LinkSettings(max_distance_um=0.5)
"""Nuclei move further than this, so every track ends where it begins."""


@pytest.mark.parametrize("stop", [(finish, "link_frames"), (publish, "open_output")], ids=["repaired", "linked"])
def test_other_links_keep_what_was_labelled(base: Path, tmp_path: Path, stop: tuple[Any, str]) -> None:
    """Nothing up to the measured labels is done again, and the result is that of a run started with these settings."""
    whole, out = tmp_path / "whole.zarr", tmp_path / "out.zarr"
    start(base, whole, link=APART)
    assert essence(whole) != essence(base / "result.zarr")
    owner = segment_module if stop[1] == "open_output" else stop[0]
    with stopping(owner, stop[1], after=0), pytest.raises(Stopped):
        start(base, out)
    said: list[Any] = []
    with counting() as calls:
        assert start(base, out, link=APART, listener=said.append).resumed
    assert {key[0] for key in calls} == {"write"}
    assert essence(out) == essence(whole)
    assert any("link.max_distance_um was" in notice.text for notice in said if isinstance(notice, Notice))
    started = [event for event in read_events(Place(f"{out}/tlseg/nuclei")) if event["event"] == "run_started"]
    assert [len(event["changed"]) for event in started] == [0, 1]
    assert open_result(out).record["fingerprint"]["link"]["max_distance_um"] == 0.5


def test_a_repair_that_is_no_longer_wanted_is_forgotten(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    with stopping(finish, "link_frames", after=0), pytest.raises(Stopped):
        start(base, out, **FIRST)
    scratch = Scratch.at(str(out / "tlseg/nuclei/scratch"))
    assert scratch.done("repairs", 0)
    with stopping(finish, "link_frames", after=0), pytest.raises(Stopped):
        start(base, out, repair=False, **FIRST)
    renewed = Scratch.at(scratch.folder)
    assert renewed.done("objects", 0)
    assert not renewed.done("repairs", 0)
    with pytest.raises(RunError, match="over"):
        scratch.hold()


def test_links_are_as_fixed_as_labels_once_these_are_written(base: Path, tmp_path: Path) -> None:
    """Labels before tracks are dropped as they are written."""
    out = tmp_path / "out.zarr"
    with stopping(stages, "write", after=1), pytest.raises(RunError):
        start(base, out)
    before = tree(out)
    with pytest.raises(ResumeError, match=r"link\.max_distance_um was .*, is 0\.5"):
        start(base, out, link=APART)
    assert tree(out) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: {"method": "components"}, "settings.method was qcanet, is components"),
        (lambda folder: {"repair": False}, "repair was True, is False"),
        (lambda folder: {"device": "cuda"}, "device was cpu, is cuda"),
        (other_model, "model.digest was .*; settings.region_threshold was 128, is 102"),
        (other_pixels, "the pixels of .* are not those"),
    ],
    ids=["method", "repair", "device", "model", "pixels"],
)
def test_a_finished_run_of_another_kind_is_not_replaced(
    finished: Path, change: Callable[[Path], dict[str, Any]], named: str
) -> None:
    settings = change(finished)
    before = tree(finished / "out.zarr")
    with pytest.raises(LabelError, match=f"already has labels 'nuclei', .*{named}.*--overwrite") as caught:
        run(finished / "movie.ome.zarr", finished / "model", out=finished / "out.zarr", **settings)
    assert "\n" not in str(caught.value)
    assert tree(finished / "out.zarr") == before


def test_overwrite_starts_anew(unfinished: Path) -> None:
    movie, model, out = (unfinished / name for name in ("movie.ome.zarr", "model", "out.zarr"))
    with counting() as calls:
        summary = run(movie, model, out=out, block=(32, 48, 48), overwrite=True)
    assert not summary.resumed
    assert {"predict", "detect", "number", "flood"} <= {key[0] for key in calls}
    run(movie, model, out=unfinished / "whole.zarr")
    assert essence(out) == essence(unfinished / "whole.zarr")


@pytest.mark.parametrize("lost", ["tables/flood/*/*.npz", "maps/c/0/*/*/*/*"], ids=["table", "maps"])
def test_what_a_power_cut_took_is_done_again(unfinished: Path, lost: str) -> None:
    """Files of the right length that hold zeros: the start that finds them says so, the next one goes on."""
    movie, model, out = (unfinished / name for name in ("movie.ome.zarr", "model", "out.zarr"))
    file = next((out / "tlseg/nuclei/scratch").rglob(lost))
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(
        LostWorkError, match=r"damaged or missing\. Run the same command again to redo frame 0"
    ) as caught:
        run(movie, model, out=out)
    assert str(file).startswith(str(caught.value).split(",")[0])
    assert caught.value.exit_code == 1
    assert run(movie, model, out=out).resumed
    run(movie, model, out=unfinished / "whole.zarr")
    assert essence(out) == essence(unfinished / "whole.zarr")


def test_the_block_of_another_movie_is_not_taken_over(unfinished: Path) -> None:
    """Blocks are chosen for the memory a run takes, so another movie has others; the same movie keeps its own."""
    settings: dict[str, Any] = {"model": unfinished / "model", "out": unfinished / "out.zarr", "device": "cpu"}
    movie = unfinished / "movie.ome.zarr"
    assert planned(movie, **settings).run.block == BLOCK
    movie.rename(unfinished / "other.ome.zarr")
    assert planned(unfinished / "other.ome.zarr", **settings).run.block != BLOCK


def test_overwriting_goes_on_when_it_is_repeated(base: Path, tmp_path: Path) -> None:
    """Even if it was stopped before it touched the old labels."""
    out = tmp_path / "out.zarr"
    run(base / "movie.ome.zarr", base / "model", out=out, frames="1:2", block=(32, 48, 48))
    with stopping(stages, "flood", after=0), pytest.raises(RunError):
        start(base, out, overwrite=True, **FIRST)
    with counting() as calls:
        assert start(base, out, overwrite=True, **FIRST).resumed
    assert not {"predict", "detect", "number"} & {key[0] for key in calls}
    assert_undisturbed(base, out, like="first.zarr")


# --- locks and kills ------------------------------------------------------------------------------------------------


def lock_of(folder: Path, **owner: Any) -> Path:
    lock = folder / "out.zarr/tlseg/nuclei/run.lock/theirs"
    lock.parent.mkdir()
    lock.write_text(json.dumps({"host": socket.gethostname(), **owner}))
    return lock


def test_a_run_that_is_alive_is_not_disturbed(unfinished: Path) -> None:
    lock = lock_of(unfinished, pid=os.getppid(), started=psutil.Process(os.getppid()).create_time())
    with pytest.raises(RunError, match=f"Another run is writing to .*process {os.getppid()}") as caught:
        run(unfinished / "movie.ome.zarr", unfinished / "model", out=unfinished / "out.zarr")
    assert isinstance(caught.value, TlsegError)
    assert lock.exists()


def test_the_lock_of_a_process_that_is_gone_is_taken_over(unfinished: Path) -> None:
    """Even if its process number has been reused since, by this very process too."""
    lock = lock_of(unfinished, pid=os.getpid(), birth="another boot:1")
    assert run(unfinished / "movie.ome.zarr", unfinished / "model", out=unfinished / "out.zarr").resumed
    assert not lock.exists()


def test_a_run_that_is_alive_is_seen_before_any_work(unfinished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No workers are waited for, and no pixels are read."""
    lock_of(unfinished, pid=os.getppid(), started=psutil.Process(os.getppid()).create_time())
    for owner, name in ((segment_module, "open_pool"), (stages, "find_statistics")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("work was begun"))
    with pytest.raises(RunError, match="Another run is writing to "):
        run(unfinished / "movie.ome.zarr", unfinished / "model", out=unfinished / "out.zarr")


@contextmanager
def while_workers_are_awaited(meanwhile: Callable[[], Any]) -> Iterator[None]:
    """Let another start do something while the next run waits for its workers."""
    open_pool = segment_module.open_pool

    @contextmanager
    def awaiting(compute: Any) -> Iterator[Any]:
        patch.setattr(segment_module, "open_pool", open_pool)
        meanwhile()
        with open_pool(compute) as pool:
            yield pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_module, "open_pool", awaiting)
        yield


def while_statistics_are_found(meanwhile: Callable[[], Any]) -> Any:
    """As above, while the next run reads its first frame."""
    find = stages.find_statistics

    @contextmanager
    def awaiting() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:

            def slowly(*args: Any) -> Any:
                patch.setattr(stages, "find_statistics", find)
                meanwhile()
                return find(*args)

            patch.setattr(stages, "find_statistics", slowly)
            yield

    return awaiting()


@pytest.mark.parametrize("waiting", [while_workers_are_awaited, while_statistics_are_found])
def test_a_start_that_waited_replaces_nothing_unasked(base: Path, tmp_path: Path, waiting: Any) -> None:
    """What another start finished in the meantime stays as it is, its event log too."""
    out = tmp_path / "out.zarr"
    made: dict[str, str] = {}

    def finish_first() -> None:
        start(base, out, **FIRST)
        made.update(tree(out))

    with waiting(finish_first):
        assert start(base, out, **FIRST).complete_already
    assert tree(out) == made


@pytest.mark.parametrize("waiting", [while_workers_are_awaited, while_statistics_are_found])
def test_a_start_that_waited_goes_on_where_another_was_stopped(base: Path, tmp_path: Path, waiting: Any) -> None:
    out = tmp_path / "out.zarr"

    def stop() -> None:
        with stopping(publish, "write_rows", after=0), pytest.raises(Stopped):
            start(base, out, **FIRST)

    with counting() as calls, waiting(stop):
        assert start(base, out, **FIRST).resumed
    assert max(calls.values()) == 1
    assert_undisturbed(base, out, like="first.zarr")


KILLED = """
import os, signal, sys
from tlseg.run import stages
from tlseg.run.segment import segment
flood = stages.flood
def killing(run, frame, block):
    if (frame, block) == (1, 3):
        print("ready", flush=True)
        if sys.argv[4] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        import time
        time.sleep(60)
    return flood(run, frame, block)
stages.flood = killing
segment(sys.argv[1], model=sys.argv[2], out=sys.argv[3], block=(16, 32, 48), device="cpu", keep_maps=True)
"""


def test_killed_and_resumed(base: Path, tmp_path: Path) -> None:
    """While it is alive nobody else may write; once it is killed, its lock is taken over and the labels are the same."""
    out = tmp_path / "out.zarr"
    arguments = [str(base / "movie.ome.zarr"), str(base / "model"), str(out)]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments, "wait"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            held = held_lock(Place(f"{out}/tlseg/nuclei"))
            assert held is not None
            assert held.owner is not None
            assert held.owner.pid == process.pid
            with pytest.raises(RunError, match="Another run is writing"):
                start(base, out)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (out / "tlseg/nuclei/run.lock").exists()
    began = time.monotonic()
    with counting() as calls:
        summary = start(base, out)
    assert summary.resumed
    assert time.monotonic() - began < 30
    assert not any(key[:2] == ("flood", 0) for key in calls)
    assert_undisturbed(base, out)
