"""`tlseg view`: what is served, to whom, and what a browser draws of it."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zarr
from click.testing import CliRunner
from PIL import Image

from browser import Browser, find_browser, wait_until
from handmade import save_threshold_model, write_channels, write_movie
from runs import inputs, run, small_movie
from tlseg.cli import main
from tlseg.errors import LabelError, MissingExtraError, RunError
from tlseg.geometry import Box
from tlseg.report.pixels import hex_color
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.image.movie import open_source
from tlseg.view import neuroglancer as ng
from tlseg.view.scene import Scene, open_scene

pytest.importorskip("neuroglancer", reason="neuroglancer is not installed: pip install 'tlseg[view]'")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of the real pipeline."""
    folder = tmp_path_factory.mktemp("viewed")
    movie, model = inputs(folder)
    run(movie, model, out=folder / "result.ome.zarr")
    return folder / "result.ome.zarr"


@pytest.fixture(scope="module")
def embryo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of a simulated embryo that divides."""
    path = tmp_path_factory.mktemp("embryo") / "embryo.ome.zarr"
    simulate(
        path,
        SimulationSettings(frames=8, start_nuclei=2, cycle_frames=5.0, shape=(24, 64, 64), spacing_um=(3.5, 1.6, 1.6)),
    )
    return path


@pytest.fixture(scope="module")
def served(embryo: Path) -> Iterator[tuple[Scene, ng.Served]]:
    """The embryo in neuroglancer."""
    scene = open_scene(embryo, name="truth")
    with ng.serve(scene) as running:
        yield scene, running


def test_trails_follow_every_track_and_fork_at_divisions(embryo: Path) -> None:
    scene = open_scene(embryo, name="truth")
    table = scene.result.table()
    assert sorted(trail.track for trail in scene.trails) == sorted(table["track"].unique())
    assert any(trail.parent for trail in scene.trails)
    ends = {trail.track: trail.points_um[-1] for trail in scene.trails}
    for trail in scene.trails:
        rows = table[table["track"] == trail.track].sort_values("t")
        own = trail.points_um[1:] if trail.parent else trail.points_um
        assert np.allclose(own, rows[["z_um", "y_um", "x_um"]])
        if trail.parent:
            assert np.allclose(trail.points_um[0], ends[trail.parent])


def test_the_state_shows_image_labels_and_tracks(served: tuple[Scene, ng.Served]) -> None:
    scene, running = served
    state = json.loads(json.dumps(running.state(), default=float))
    image, labels, tracks = state["layers"]
    assert [layer["name"] for layer in state["layers"]] == ["image", "truth", "tracks"]
    assert [layer["type"] for layer in state["layers"]] == ["image", "segmentation", "annotation"]
    assert state["displayDimensions"] == ["x", "y", "z"]
    assert state["dimensions"]["t"] == [600, "s"]
    assert state["dimensions"]["z"] == [pytest.approx(3.5e-6), "m"]
    assert image["source"] == [{"url": f"zarr://{running.data_url}/"}]
    assert labels["source"] == [{"url": f"zarr://{running.data_url}/labels/truth/"}]
    assert labels["segmentColors"] == {str(trail.track): hex_color(trail.track) for trail in scene.trails}
    assert len(tracks["annotations"]) == running.shown == running.trails == len(scene.trails)
    longest = tracks["annotations"][0]
    first = scene.trails[0].points_um[0] / np.array(scene.labels.spacing_um)
    assert np.allclose(longest["points"][0], first[::-1])
    assert longest["segments"] == [[str(scene.trails[0].track)]]
    assert "if (!PROJECTION_VIEW) discard;" in tracks["shader"]


def test_pixels_come_back_as_they_are(served: tuple[Scene, ng.Served]) -> None:
    scene, running = served
    whole = Box.of_shape(scene.labels.frame_shape)
    through = open_source(f"{running.data_url}/labels/truth").read(3, whole)
    stored = zarr.open_array(f"{scene.result.path}/labels/truth/0", mode="r")[3]
    assert stored.any()
    assert np.array_equal(through, stored)
    request = urllib.request.Request(f"{running.data_url}/labels/truth/zarr.json", headers={"Range": "bytes=2-9"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.read() == Path(scene.result.path, "labels/truth/zarr.json").read_bytes()[2:10]


def test_flat_labels_have_trails_too(tmp_path: Path) -> None:
    path = tmp_path / "flat.ome.zarr"
    simulate(path, SimulationSettings(frames=3, start_nuclei=2, shape=(1, 64, 64), spacing_um=(3.5, 1.6, 1.6)))
    scene = open_scene(path, name="truth")
    state = ng.build_state(scene, image_url="http://127.0.0.1", labels_url="http://127.0.0.1/labels").to_json()
    assert state["displayDimensions"] == ["x", "y"]
    assert "discard" not in state["layers"][2]["shader"], "there is no other panel"
    assert [len(line["points"][0]) for line in state["layers"][2]["annotations"]] == [2] * len(scene.trails) != []


@pytest.fixture(scope="module")
def third_channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie that is black in all channels but the third, which was segmented; a viewer would choose another."""
    folder = tmp_path_factory.mktemp("channels")
    save_threshold_model(folder / "model")
    nuclei = small_movie(1)
    black = np.zeros_like(nuclei)
    movie = write_channels(folder / "movie.ome.zarr", {"a": black, "b": black, "nuclei": nuclei})
    run(movie, folder / "model", channel="nuclei")
    run(movie, folder / "model", channel="nuclei", out=folder / "copy.ome.zarr")
    return movie


def test_what_was_segmented_is_shown(third_channel: Path) -> None:
    scene = open_scene(third_channel)
    assert scene.image is not None
    assert scene.image.channel == 2
    assert scene.window is not None
    assert scene.window[1] > 500, "grey values of the nuclei"
    (image, *_) = ng.build_state(scene, image_url="http://127.0.0.1", labels_url="http://127.0.0.1").to_json()["layers"]
    assert (image["localDimensions"], image["localPosition"]) == ({"c'": [1, ""]}, [2])
    copy = open_scene(third_channel.with_name("copy.ome.zarr"))
    assert copy.image is not None
    assert copy.image.channel == 0, "a copy has this channel alone"
    assert copy.window == scene.window


def test_no_frame_is_flat_white(tmp_path: Path) -> None:
    """Nuclei grow four times as bright while the movie goes on."""
    frames = np.stack([small_movie(1)[0] * (1 + t) for t in range(4)]).astype(np.uint16)
    save_threshold_model(tmp_path / "model")
    run(write_movie(tmp_path / "movie.ome.zarr", frames), tmp_path / "model")
    scene = open_scene(tmp_path / "movie.ome.zarr")
    assert scene.window is not None
    assert scene.window[1] >= np.percentile(frames[-1], 99.5)


def test_only_this_machine_is_served(served: tuple[Scene, ng.Served]) -> None:
    ports = {int(url.split(":")[2].split("/")[0]) for url in (served[1].url, served[1].data_url)}
    listening = [c for c in psutil.Process().net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening if c.laddr.port in ports} == {"127.0.0.1"}
    # The address of the pixels holds a secret, and nothing above them is served.
    base = served[1].data_url
    for url in (base.rsplit("/", 1)[0] + "/zarr.json", f"{base}/../secret", f"{base}/%2e%2e/secret"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url)


def test_long_tracks_come_first_where_not_all_fit(embryo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = open_scene(embryo, name="truth")
    longest = len(scene.trails[0].frames)
    monkeypatch.setattr(ng, "MOST_POINTS", longest)
    assert ng.drawn_trails(scene) == 1
    assert all(len(trail.frames) <= longest for trail in scene.trails)


def test_a_taken_port_is_said(result: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RunError, match=r"Port \d+ cannot be used"):
            ng.serve(open_scene(result), port=taken.getsockname()[1])


def test_a_port_is_free_again_once_its_viewer_has_stopped() -> None:
    """The system remembers its last connections for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            before.accept()[0].close()
    ng._check_free(port)


@pytest.mark.parametrize(("viewer", "extra"), [("neuroglancer", "[view]'"), ("napari", "[napari]'")])
def test_a_missing_viewer_is_named(result: Path, monkeypatch: pytest.MonkeyPatch, viewer: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, viewer, None)
    answer = CliRunner().invoke(main, ["view", str(result), "--viewer", viewer])
    assert answer.exit_code == MissingExtraError.exit_code == 2
    assert extra in answer.output
    assert len(answer.output.strip().splitlines()) == 1


def test_other_labels_are_an_error(result: Path) -> None:
    with pytest.raises(LabelError, match="no finished labels"):
        open_scene(result, name="cells")


def test_the_command_serves_until_it_is_interrupted(result: Path) -> None:
    command = [sys.executable, "-m", "tlseg", "view", str(result), "--no-browser"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url) as answer:
            assert b"<html" in answer.read().lower()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{url}no-such-file")
        assert process.stderr is not None
        assert process.stderr.readline().strip() == "Press Ctrl-C to stop."
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        _, errors = process.communicate()
    assert not errors.strip()


def test_the_command_says_in_json_what_it_serves(embryo: Path) -> None:
    command = [sys.executable, "-m", "tlseg", "view", str(embryo), "--name", "truth", "--no-browser", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        # It goes on serving, so the object is read as far as it goes and not to the end of the file.
        lines = itertools.takewhile(lambda line: line != "}\n", process.stdout)
        said = json.loads("".join(lines) + "}")
        with urllib.request.urlopen(said.pop("url")) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        _, errors = process.communicate()
    tracks = len(open_scene(embryo, name="truth").trails)
    assert said == {
        "viewer": "neuroglancer",
        "result": str(embryo),
        "name": "truth",
        "tracks": tracks,
        "tracks_drawn": tracks,
    }
    assert not errors.strip()


def test_a_browser_draws_nuclei_and_tracks(served: tuple[Scene, ng.Served], tmp_path: Path) -> None:
    find_browser()
    scene, running = served
    t, best = _frame_with_most_in_the_middle(scene)
    with running.viewer.txn() as state:
        state.layout = "xy"
        state.layers["tracks"].visible = False
        state.position = [*state.position[:2], best, t]
    with Browser(width=700, height=700, webgl=True) as browser:
        browser.open(running.url)
        if not browser.ask("!!document.createElement('canvas').getContext('webgl2')"):
            pytest.skip("this Chromium has no WebGL 2, not even in software")
        wanted = _colors(scene, t, best)

        def drawn() -> bool:
            return wanted <= _hues(browser.screenshot(tmp_path / "view.png"))

        wait_until(drawn, f"neuroglancer did not draw nuclei of hues {wanted}", seconds=60)
        assert not any("exception" in text.lower() for text in browser.complaints)
        elsewhere = {url for url in browser.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))}
        assert not elsewhere

        with running.viewer.txn() as state:
            state.layout = "3d"
            state.layers["truth"].visible = False
            state.layers["image"].visible = False
        counts = [-1]

        def still() -> bool:
            counts.append(_vivid(browser.screenshot(tmp_path / "space.png")))
            return counts[-2] == counts[-1]

        # What is coloured without tracks are the frame and its axes.
        wait_until(still, "neuroglancer does not come to rest", seconds=60)
        with running.viewer.txn() as state:
            state.layers["tracks"].visible = True
        wait_until(
            lambda: _vivid(browser.screenshot(tmp_path / "tracks.png")) > counts[-1] + 300,
            "neuroglancer did not draw tracks",
            seconds=60,
        )


def _frame_with_most_in_the_middle(scene: Scene) -> tuple[int, int]:
    """Frame and plane with most labelled voxels."""
    whole = Box.of_shape(scene.labels.frame_shape)
    sizes = np.stack([(scene.labels.read(t, whole) > 0).sum(axis=(1, 2)) for t in range(scene.labels.n_frames)])
    t, z = np.unravel_index(sizes.argmax(), sizes.shape)
    return int(t), int(z)


def _colors(scene: Scene, t: int, z: int) -> set[int]:
    """Hues (twelfths of the circle) of the nuclei that have at least 30 voxels in a plane."""
    plane = scene.labels.read(t, Box((z, 0, 0), (z + 1, *scene.labels.frame_shape[1:])))
    numbers, sizes = np.unique(plane[plane > 0], return_counts=True)
    colors = [hex_color(int(n))[1:] for n in numbers[sizes >= 30]]
    return set(_hue(np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in colors])).tolist())


def _hues(path: Path) -> set[int]:
    """Hues of at least 30 clearly coloured pixels in the middle of a picture."""
    found, counts = np.unique(_hue(_coloured(path)), return_counts=True)
    return set(found[counts >= 30].tolist())


def _vivid(path: Path) -> int:
    """How many pixels in the middle of a picture are clearly coloured."""
    return len(_coloured(path))


def _middle(path: Path) -> np.ndarray:
    """Pixels (y, x, 3) in the middle of a picture."""
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")).astype(int)[80:660, 20:680]


def _coloured(path: Path) -> np.ndarray:
    """Clearly coloured pixels (n, 3) in the middle of a picture."""
    pixels = _middle(path)
    coloured: np.ndarray = pixels[(pixels.max(axis=-1) - pixels.min(axis=-1) > 40)]
    return coloured


def _hue(rgb: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(rgb.astype(np.uint8).reshape(1, -1, 3)).convert("HSV")
    return (np.asarray(picture)[0, :, 0].astype(int) * 6 // 256) % 6


@pytest.mark.filterwarnings("ignore")
def test_napari_gets_pyramids_and_a_lineage(embryo: Path) -> None:
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    from tlseg.view.napari import add_layers, track_data

    scene = open_scene(embryo, name="truth")
    viewer: Any = components.ViewerModel()
    add_layers(viewer, scene)
    image, labels, tracks = viewer.layers
    assert (image.name, labels.name, tracks.name) == ("image", "truth", "tracks")
    assert tuple(labels.scale) == (1.0, 3.5, 1.6, 1.6)
    assert labels.data.shape == image.data.shape == (8, 24, 64, 64)
    data, graph = track_data(scene)
    table = scene.result.table()
    assert len(data) == len(table) == len(tracks.data)
    mothers = table[table["parent"] > 0].drop_duplicates("track").set_index("track")["parent"]
    assert {int(k): [int(v) for v in vs] for k, vs in tracks.graph.items()} == graph
    assert graph == {int(k): [int(v)] for k, v in mothers.items()}


def test_a_browser_draws_the_channel_that_was_segmented(third_channel: Path, tmp_path: Path) -> None:
    # Last, since the end of one viewer ends all of this process.
    find_browser()
    with ng.serve(open_scene(third_channel)) as running, Browser(width=700, height=700, webgl=True) as browser:
        with running.viewer.txn() as state:
            state.layout = "xy"
            state.layers["nuclei"].visible = False
            state.layers["tracks"].visible = False
            state.show_axis_lines = False
        browser.open(running.url)
        if not browser.ask("!!document.createElement('canvas').getContext('webgl2')"):
            pytest.skip("this Chromium has no WebGL 2, not even in software")
        wait_until(
            lambda: (_middle(browser.screenshot(tmp_path / "view.png")).min(axis=-1) > 60).sum() > 5000,
            "neuroglancer did not draw bright nuclei",
            seconds=60,
        )
