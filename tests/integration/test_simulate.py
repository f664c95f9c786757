"""A simulated movie on disk: pixels, labels, table and tracks agree, and look like real ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from commandline import invoke
from runs import tree
from tlseg.cli import main
from tlseg.cli.simulate import SCENES
from tlseg.errors import MovieError, RunError
from tlseg.geometry import Box
from tlseg.measure import history
from tlseg.simulate import api, motion, movie
from tlseg.simulate.api import simulate, simulate_dense
from tlseg.simulate.dense import DenseSettings, dense_frame
from tlseg.simulate.motion import move_embryo
from tlseg.simulate.movie import simulate_frames
from tlseg.simulate.settings import SimulationError, SimulationSettings
from tlseg.store.image.image_writer import ImageWriter, create_image
from tlseg.store.image.movie import open_source
from tlseg.store.image.pyramid import plan_pyramid
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.label_movie import open_label_movie
from tlseg.store.labels.label_writer import LabelWriter
from tlseg.store.labels.tables import read_table
from tlseg.store.labels.tracks import read_tracks

SMALL = SimulationSettings(frames=6, shape=(16, 40, 48), cycle_frames=4, seed=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "embryo.ome.zarr"
    simulate(out, SMALL)
    return out


def test_the_embryo_is_moved_once_to_see_that_it_can_be_and_once_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []

    def counted(*args: Any, **options: Any) -> Any:
        times.append(1)
        return move_embryo(*args, **options)

    for module in (motion, movie):
        monkeypatch.setattr(module, "move_embryo", counted)
    simulate(tmp_path / "embryo.ome.zarr", dataclasses.replace(SMALL, frames=2))
    assert len(times) == 2


def test_the_store_holds_what_was_simulated(written: Path) -> None:
    source = open_source(written)
    labels = open_label_movie(written, name="truth")
    table = read_table(written, "truth")
    assert source.spacing_um == SMALL.spacing_um
    assert source.interval_s == SMALL.interval_s
    box = Box.of_shape(SMALL.shape)
    for frame in simulate_frames(SMALL):
        assert np.array_equal(source.read(frame.t, box), frame.image)
        assert np.array_equal(labels.read(frame.t, box), frame.labels)
        rows = table[table["t"] == frame.t]
        assert rows["label"].tolist() == [n.track for n in frame.nodes]
        assert rows["volume_voxels"].tolist() == [n.volume_voxels for n in frame.nodes]
        for row in rows.itertuples():
            mask = frame.labels == row.label
            where = np.argwhere(mask)
            assert where.mean(axis=0) == pytest.approx((row.z, row.y, row.x))
            assert (row.bbox_z0, row.bbox_y0, row.bbox_x0) == tuple(where.min(axis=0))
            assert (row.bbox_z1, row.bbox_y1, row.bbox_x1) == tuple(where.max(axis=0) + 1)
            assert row.intensity_mean == pytest.approx(frame.image[mask].mean())
            assert row.touches_edge == bool((where == 0).any() or (where == np.array(SMALL.shape) - 1).any())


def test_tracks_join_the_nuclei_of_the_table(written: Path) -> None:
    nodes, edges = read_tracks(written)
    table = read_table(written, "truth")
    assert set(zip(nodes["t"], nodes["label"], strict=True)) == set(zip(table["t"], table["label"], strict=True))
    links = edges[edges["kind"] == "link"]
    assert (links["label_a"] == links["label_b"]).all()
    assert (links["t_b"] - links["t_a"] == 1).all()
    divisions = edges[edges["kind"] == "division"]
    assert len(divisions) >= 4
    assert set(divisions.groupby(["t_a", "label_a"]).size()) == {2}
    born = table[table["parent"] > 0].drop_duplicates("track")
    assert sorted(divisions["label_b"]) == sorted(born["track"])
    first = table["t"].min()
    assert len(edges) == len(table) - (table["t"] == first).sum(), "every later nucleus has one past"


def test_divisions_at_the_edge_of_the_frame_are_counted_as_a_history_counts_them(tmp_path: Path) -> None:
    """The egg is larger than the frame: of one mother a single daughter is seen, another mother never was."""
    out = tmp_path / "crop.ome.zarr"
    large = SimulationSettings(
        frames=9,
        shape=(6, 24, 24),
        spacing_um=(3.5, 1.6, 1.6),
        embryo_um=(40.0, 60.0, 60.0),
        cycle_frames=5.0,
        seed=6,
    )
    made = simulate(out, large)
    table = read_table(out, "truth")
    divided = history.divisions(history.track_table(history.complete(table)))
    assert {len(daughters) for daughters in divided["daughters"]} == {1, 2}
    assert made.divisions == len(divided)
    begun = table.drop_duplicates("track")
    assert ((begun["parent"] == 0) & (begun["generation"] > 0)).any(), "a mother that was never seen"
    for nodes in (table, read_tracks(out)[0]):
        assert set(nodes["parent"]) <= {0, *nodes["track"]}


def test_same_seed_same_pixels_on_disk(written: Path, tmp_path: Path) -> None:
    other = tmp_path / "again.ome.zarr"
    result = simulate(other, SMALL)
    assert result.nuclei is not None
    assert result.nuclei[0] == SMALL.start_nuclei
    for path in written.rglob("c/**/*"):
        if path.is_file() and "tracks.geff" not in path.parts:
            assert path.read_bytes() == (other / path.relative_to(written)).read_bytes()


def test_overwriting_leaves_nothing_of_the_old_movie(tmp_path: Path) -> None:
    out = tmp_path / "m.ome.zarr"
    simulate(out, SMALL)
    with pytest.raises(MovieError, match="overwrite"):
        simulate(out, SMALL)
    (out / "labels" / "nuclei").mkdir()
    simulate(out, dataclasses.replace(SMALL, frames=2, seed=9), overwrite=True)
    assert open_source(out).n_frames == 2
    assert existing_labels(out) == ["truth"]
    assert not (out / "labels" / "nuclei").exists()
    assert read_table(out, "truth")["t"].max() == 1


def test_overwriting_never_removes_a_movie_that_was_not_simulated(tmp_path: Path) -> None:
    out = tmp_path / "precious.ome.zarr"
    pyramid = plan_pyramid((4, 8, 8), spacing_um=(1.0, 1.0, 1.0))
    writer = create_image(
        out, pyramid=pyramid, n_frames=1, dtype="uint16", channel_names=["a"], is_2d=False, interval_s=None
    )
    pixels = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    writer.write(0, Box.of_shape((4, 8, 8)), pixels)
    writer.finish()
    with pytest.raises(MovieError, match="not simulated"):
        simulate(out, SMALL, overwrite=True)
    assert np.array_equal(open_source(out).read(0, Box.of_shape((4, 8, 8))), pixels)


@pytest.mark.parametrize(
    ("owner", "stage"),
    [(ImageWriter, "write"), (LabelWriter, "write"), (api, "write_table"), (api, "write_tracks")],
)
def test_a_simulation_that_was_stopped_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, stage: str
) -> None:
    out, settings = tmp_path / "m.ome.zarr", dataclasses.replace(SMALL, frames=1)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            simulate(out, settings)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".m.ome.zarr.partial" / "0").mkdir(parents=True)  # as a kill leaves it
    simulate(out, settings)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_second_start_on_one_output_is_refused(tmp_path: Path) -> None:
    out, refused = tmp_path / "m.ome.zarr", []

    def progress(*_: int) -> None:
        with pytest.raises(RunError, match=r"Another run is writing to .*m\.ome\.zarr") as caught:
            simulate(out, settings)
        refused.append(caught.value)

    settings = dataclasses.replace(SMALL, frames=1)
    simulate(out, settings, progress=progress)
    assert refused
    assert open_source(out).n_frames == 1
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_stopped_overwrite_leaves_the_old_movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, settings = tmp_path / "m.ome.zarr", dataclasses.replace(SMALL, frames=1)
    simulate(out, settings)
    before = tree(out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(api, "write_tracks", full)
    with pytest.raises(RunError, match=r"m\.ome\.zarr cannot be written \(No space left"):
        simulate(out, dataclasses.replace(settings, seed=9), overwrite=True)
    assert tree(out) == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_movie_too_small_for_any_voxel_of_a_nucleus_has_an_empty_truth(tmp_path: Path) -> None:
    out = tmp_path / "one.ome.zarr"
    made = simulate(out, SimulationSettings(frames=2, shape=(1, 1, 1)))
    table, (nodes, edges) = read_table(out, "truth"), read_tracks(out)
    assert (len(table), len(nodes), len(edges), made.tracks, made.divisions) == (0, 0, 0, 0, 0)
    assert {"label", "t", "track", "parent"} <= set(table.columns)


def test_what_cannot_be_simulated_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "full.ome.zarr"
    with pytest.raises(SimulationError, match="cannot fit"):
        simulate(out, dataclasses.replace(SMALL, start_nuclei=60, radius_um=9.0))
    assert not out.exists()


def test_a_dense_frame_is_written_region_by_region(tmp_path: Path) -> None:
    chosen = DenseSettings((40, 70, 90), (4.0, 6.0, 6.0), seed=3)
    simulate_dense(tmp_path / "dense.ome.zarr", chosen)
    image, labels = dense_frame(chosen.shape, radius_voxels=chosen.radius_voxels, seed=3)
    box = Box.of_shape(chosen.shape)
    assert np.array_equal(open_source(tmp_path / "dense.ome.zarr").read(0, box), image)
    assert np.array_equal(open_label_movie(tmp_path / "dense.ome.zarr", name="truth").read(0, box), labels)


def test_one_plane_is_written_as_2d(tmp_path: Path) -> None:
    out = tmp_path / "flat.ome.zarr"
    simulate(out, dataclasses.replace(SMALL, shape=(1, 64, 64), frames=2))
    assert open_source(out).is_2d
    assert not read_table(out, "truth")["touches_edge"].all()


def test_into_a_store_it_says_the_address(tmp_path: Path) -> None:
    there = "memory://simulated/m.ome.zarr"
    made = simulate(there, dataclasses.replace(SMALL, frames=1))
    assert made.path == there
    assert simulate_dense("memory://simulated/t.ome.zarr", DenseSettings(shape=(8, 16, 16))).path.startswith(
        "memory://"
    )
    assert open_source(made.path).n_frames == 1
    assert json.loads(json.dumps(made.to_dict()))["shape"] == list(made.shape)


def test_command_line(tmp_path: Path) -> None:
    out = str(tmp_path / "m.ome.zarr")
    args = ["simulate", out, "--frames", "2", "--nuclei", "3", "--shape", "12,32,32", "--spacing", "2,1,1"]
    done = invoke(main, *args, "--interval", "30", "--seed", "5", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["frames"], result["shape"], result["spacing_um"]) == (2, [12, 32, 32], [2.0, 1.0, 1.0])
    assert (result["interval_s"], result["nuclei"]) == (30.0, [3, 3])
    again = invoke(main, *args)
    assert again.exit_code == 2
    assert again.stderr.startswith("Error: ")
    assert "--overwrite" in again.stderr
    assert ": 2 frames, 3 nuclei, 3 tracks, 0 divisions." in invoke(main, *args, "--overwrite").stdout
    assert invoke(main, "simulate", out, "--frames", "0").exit_code == 2


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("option", ["--frames", "--nuclei"])
def test_none_at_all_is_refused_in_every_scene(scene: str, option: str, tmp_path: Path) -> None:
    done = invoke(main, "simulate", str(tmp_path / "m.ome.zarr"), "--scene", scene, option, "0")
    assert done.exit_code == 2
    assert "Error: " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("nuclei", "t"), [(2, 151), (8, 301), (16, 351)])
def test_pictures_have_the_brightness_and_sizes_of_real_ones(data: Path, nuclei: int, t: int) -> None:
    real: list[tuple[float, ...]] = []
    for embryo in ("01", "04", "06", "08"):
        name = f"train/{{}}/Emb{embryo}_t{t}.tif"
        image = tifffile.imread(data / "bbbc050" / "Images" / name.format("Images"))
        truth = tifffile.imread(data / "bbbc050" / "GroundTruth" / name.format("GroundTruth_QCANet"))
        real.append(look(image, truth, (1.75, 0.8, 0.8)))
    chosen = SimulationSettings(frames=1, start_nuclei=nuclei, cycle_frames=100, seed=nuclei)
    frame = next(simulate_frames(chosen))
    ours = look(frame.image, frame.labels, chosen.spacing_um)
    for value, low, high, spread in zip(
        ours, np.min(real, 0), np.max(real, 0), (1.03, 1.6, 1.6, 1.5, 1.3), strict=True
    ):
        assert low / spread <= value <= high * spread


def look(image: np.ndarray, labels: np.ndarray, spacing_um: tuple[float, float, float]) -> tuple[float, ...]:
    """Background, nuclei, brightest voxels, volume of a nucleus, spread of the background."""
    outside = image[labels == 0]
    volumes = np.bincount(labels[labels > 0].astype(np.int64))
    volume = float(np.median(volumes[volumes > 100])) * float(np.prod(spacing_um))
    spread = float(np.subtract(*np.percentile(outside, (95, 5))))
    return (
        float(np.median(outside)),
        float(np.median(image[labels > 0]) - 100),
        float(np.percentile(image, 99.9) - 100),
        volume,
        spread,
    )
