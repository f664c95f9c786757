"""A run can be looked at while it is going on: whole frames only, without disturbing it, never as its result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from browser import Browser, find_browser, wait_until
from runs import essence, inputs, labels_of, run, same_up_to_numbers, tree
from tlseg.cli import main
from tlseg.errors import LabelError, RunError
from tlseg.geometry import Box
from tlseg.run import stages
from tlseg.run.watch.events import Event, Notice
from tlseg.run.watch.status import run_status, unfinished_run
from tlseg.store.image.movie import open_movie, open_source
from tlseg.store.working.unfinished import Unfinished
from tlseg.view.files import FileServer
from tlseg.view.scene import open_scene, open_unfinished
from tlseg.view.working import WorkingFiles

FRAMES = 3


@dataclass
class Onlooker:
    """Looks at a run from the run's own thread at every event, and so sees what is there at that moment."""

    root: Path
    look: Callable[[Unfinished, Event], None]
    looks: int = 0

    def __call__(self, event: Event | Notice) -> None:
        found = unfinished_run(self.root)
        if isinstance(event, Event) and found is not None:
            self.looks += 1
            self.look(found, event)


@dataclass
class Seen:
    """Frames as they were seen, by state."""

    provisional: dict[int, np.ndarray] = field(default_factory=dict)
    final: dict[int, np.ndarray] = field(default_factory=dict)
    first_at: dict[str, set[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie, a model, and the result of a run that nobody looked at, `out.ome.zarr`."""
    folder = tmp_path_factory.mktemp("unfinished")
    movie, model = inputs(folder, FRAMES)
    run(movie, model, out=folder / "out.ome.zarr", repair=False)
    return folder


def stopped(made: Path, out: Path, **settings: Any) -> Path:
    """A run that leaves out the movie's first frame, stopped while its last one was being flooded."""
    flood = stages.flood

    def until_last(context: Any, frame: int, block: int) -> int:
        if frame == FRAMES - 1 and block:
            raise KeyboardInterrupt
        return flood(context, frame, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "flood", until_last)
        with pytest.raises(KeyboardInterrupt):
            run(made / "movie.ome.zarr", made / "model", out=out, frames=f"1:{FRAMES}", repair=False, **settings)
    return out


@pytest.fixture(scope="module")
def halted(made: Path) -> Path:
    """Output of such a run, to be read only."""
    return stopped(made, made / "halted.ome.zarr")


@pytest.fixture
def mine(halted: Path, tmp_path: Path) -> Path:
    """A copy of it that tests may change."""
    path: Path = shutil.copytree(halted, tmp_path / "out.ome.zarr")
    return path


def everything(run: Unfinished) -> Box:
    return Box.of_shape(run.source.frame_shape)


def test_frames_are_seen_whole_or_not_at_all_and_looking_changes_nothing(made: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out.ome.zarr", Seen()

    def look(found: Unfinished, event: Event) -> None:
        before = tree(out)
        states = found.states()
        for frame in found.frames:
            labels = found.read(frame, everything(found))
            assert (labels is None) == (frame not in states)
            if labels is not None:
                seen.first_at.setdefault(states[frame], set()).add(event.stage)
                kept = getattr(seen, states[frame])
                assert np.array_equal(kept.setdefault(frame, labels), labels)
        assert tree(out) == before

    onlooker = Onlooker(out, look)
    run(made / "movie.ome.zarr", made / "model", out=out, repair=False, listener=onlooker)
    assert onlooker.looks > 3 * FRAMES
    assert essence(out) == essence(made / "out.ome.zarr")
    final = labels_of(out)
    assert sorted(seen.provisional) == list(range(FRAMES))
    assert sorted(seen.final) == list(range(FRAMES))
    for frame in range(FRAMES):
        assert final[frame].any()
        assert same_up_to_numbers(seen.provisional[frame], final[frame])
        assert np.array_equal(seen.final[frame], final[frame])
    assert "flood" in seen.first_at["provisional"], "a frame is seen as soon as it is flooded"
    assert seen.first_at["final"] == {"write"}


def test_early_frames_come_long_before_the_last_one_is_begun(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    counts = []

    def look(found: Unfinished, event: Event) -> None:
        flooded = {frame for frame in found.frames if found.scratch.done("flood", frame)}
        counts.append((len(found.states()), len(flooded)))

    run(made / "movie.ome.zarr", made / "model", out=out, repair=False, listener=Onlooker(out, look))
    assert any(seen and flooded < FRAMES for seen, flooded in counts)


def test_all_levels_are_those_of_the_final_labels(made: Path, mine: Path) -> None:
    found = unfinished_run(mine)
    assert found is not None
    levels = found.arrays()
    run(made / "movie.ome.zarr", made / "model", out=mine, frames=f"1:{FRAMES}", repair=False)
    final = open_source(mine / "labels" / "nuclei")
    assert found.labels.level_shapes == final.level_shapes
    assert (found.labels.shape, found.labels.start_s) == (final.shape, final.start_s)
    assert (found.labels.spacing_um, found.labels.translation_um) == (final.spacing_um, final.translation_um)
    # The run came to its end in the meantime: what is still open shows its labels.
    assert found.states() == dict.fromkeys(range(1, FRAMES), "final")
    for level, lazy in enumerate(levels):
        assert np.array_equal(lazy.compute(), labels_of(mine, level=level))


def test_over_http_as_on_disk(halted: Path) -> None:
    found = unfinished_run(halted)
    assert found is not None
    assert found.states() == {1: "provisional"}
    server = FileServer(WorkingFiles(found), host="127.0.0.1")

    def ask(key: str, **headers: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{server.url}/{key}", headers=headers)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""

    try:
        for level in range(len(found.labels.level_shapes)):
            through = open_source(server.url, level=level)
            box = Box.of_shape(through.frame_shape)
            for row, frame in enumerate(found.frames):
                direct = found.read(frame, box, level=level)
                read = through.read(row, box)
                assert np.array_equal(read, np.zeros_like(read) if direct is None else direct)
        assert through.start_s == found.labels.start_s
        status, data = ask("0/c/0/0/0/0")
        assert status == 200
        assert np.frombuffer(data, "<u4").any()
        assert ask("0/c/0/0/0/0", Range="bytes=8-15") == (206, data[8:16])
        assert ask("0/c/1/0/0/0")[0] == 404, "half a frame is not shown"
        for key in ("0/c/2/0/0/0", "0/c/0/9/0/0", "9/c/0/0/0/0", "0/c/0/0/0", "../zarr.json", "0/c/-1/0/0/0", "x"):
            assert ask(key)[0] == 404
        assert json.loads(ask("zarr.json")[1])["attributes"]["tlseg"]["provisional"] is True
    finally:
        server.stop()


def test_the_working_labels_are_an_ome_zarr_anybody_opens(halted: Path) -> None:
    models = pytest.importorskip("ome_zarr_models.v05.image_label")
    path = run_status(halted).working_labels
    assert path is not None
    models.ImageLabel.from_zarr(zarr.open_group(path, mode="r"))
    found = unfinished_run(halted)
    assert found is not None
    movie = open_movie(path)
    assert movie.sizes == dict(zip("tzyx", found.labels.shape, strict=True))
    assert np.array_equal(movie[0], found.read(1, everything(found)))
    assert movie.coords["t"][0] == found.labels.start_s
    assert "provisional" in json.dumps(json.loads((Path(path) / "zarr.json").read_text())["attributes"])


def test_working_files_elsewhere_are_found(made: Path, tmp_path: Path) -> None:
    out = stopped(made, tmp_path / "out.ome.zarr", scratch=tmp_path / "fast")
    assert run_status(out).viewable == {"provisional": [(1, 2)]}
    assert str(tmp_path / "fast") in str(run_status(out).working_labels)


def test_an_unfinished_run_is_no_result(halted: Path) -> None:
    with pytest.raises(
        LabelError, match=r"no finished labels 'nuclei': their run has not ended\. tlseg status .* same command"
    ):
        open_scene(halted)
    found = unfinished_run(halted)
    assert found is not None
    scene = open_unfinished(found)
    assert scene.title == "nuclei (provisional)"
    assert (scene.trails, scene.colors, scene.first_row) == ([], {}, 0)


def test_another_run_in_its_place_is_not_taken_for_it(made: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = unfinished_run(mine)
    assert found is not None
    monkeypatch.setattr(stages, "number", lambda *_: (_ for _ in ()).throw(RunError("stop")))
    with pytest.raises(RunError, match="stop"):
        run(made / "movie.ome.zarr", made / "model", out=mine, frames="0:2", overwrite=True)
    assert found.states() == {}
    assert found.read(1, everything(found)) is None
    seen = CliRunner().invoke(main, ["view", str(mine)]).output
    assert seen.startswith("Error: No frame of")
    assert "run the same command again" in seen
    assert "Provisional labels" not in CliRunner().invoke(main, ["status", str(mine)]).output


def test_status_says_what_can_be_seen(made: Path, halted: Path) -> None:
    answer = CliRunner().invoke(main, ["status", str(halted)])
    assert f"Frames ready to view, provisional labels: 1 (tlseg view {halted})." in answer.output
    said = json.loads(CliRunner().invoke(main, ["status", str(halted), "--json"]).output)
    assert said["viewable"] == {"provisional": [[1, 2]]}
    assert Path(said["working_labels"], "zarr.json").is_file()
    complete = run_status(made / "out.ome.zarr")
    assert (complete.state, complete.viewable, complete.working_labels) == ("complete", {}, None)
    (made / "movie.ome.zarr").rename(made / "away")
    try:
        assert run_status(halted).viewable == {}, "a movie that is gone is no reason to say nothing"
    finally:
        (made / "away").rename(made / "movie.ome.zarr")


def test_the_command_shows_a_run_and_says_what_it_is(halted: Path) -> None:
    pytest.importorskip("neuroglancer")
    process = subprocess.Popen(
        [sys.executable, "-m", "tlseg", "view", str(halted), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        with urllib.request.urlopen(process.stdout.readline().strip()) as answer:
            assert b"<html" in answer.read().lower()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        _, errors = process.communicate()
    assert errors.startswith("Provisional: the run is not complete. Frames 1 can be viewed")


def test_a_browser_draws_provisional_labels(halted: Path, tmp_path: Path) -> None:
    ng = pytest.importorskip("tlseg.view.neuroglancer")
    find_browser()
    found = unfinished_run(halted)
    assert found is not None
    with ng.serve(open_unfinished(found)) as running:
        with running.viewer.txn() as state:
            state.layout = "xy"
        assert [layer["name"] for layer in running.state()["layers"]] == ["image", "nuclei (provisional)"]
        with Browser(width=500, height=500, webgl=True) as browser:
            browser.open(running.url)
            if not browser.ask("!!document.createElement('canvas').getContext('webgl2')"):
                pytest.skip("this Chromium has no WebGL 2, not even in software")

            def coloured() -> int:
                from PIL import Image

                pixels = np.asarray(Image.open(browser.screenshot(tmp_path / "view.png")).convert("RGB")).astype(int)
                inside = pixels[80:460, 20:480]
                return int((inside.max(axis=-1) - inside.min(axis=-1) > 40).sum())

            wait_until(lambda: coloured() > 200, "neuroglancer drew no nuclei", seconds=60)
            assert not any("exception" in text.lower() for text in browser.complaints)


def test_napari_gets_provisional_labels(halted: Path) -> None:
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    from tlseg.view.napari import add_layers

    found = unfinished_run(halted)
    assert found is not None
    viewer: Any = components.ViewerModel()
    add_layers(viewer, open_unfinished(found))
    assert [layer.name for layer in viewer.layers] == ["image", "nuclei (provisional)"]
