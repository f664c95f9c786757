"""`tlseg measure`: other channels' intensities in the table, exact however the work was cut, and nothing else changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from click.testing import Result as Said
from distributed import LocalCluster
from skimage.measure import regionprops_table

import tlseg
from commandline import invoke
from handmade import save_threshold_model, write_channels
from runs import SHAPE, labels_of, run, small_movie, tree
from tlseg.cli import main
from tlseg.errors import LabelError, MovieError, PlanError, RunError
from tlseg.run.linking.labels import link_labels
from tlseg.run.measuring import channels as module
from tlseg.run.measuring import regions
from tlseg.run.measuring.channels import Measured, measure_channels
from tlseg.run.tasks import pools
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.fs.place import Place
from tlseg.store.image.image_writer import create_image
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.image.pyramid import plan_pyramid
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.result import open_result
from tlseg.store.labels.table_writer import TableWriter, write_table
from tlseg.store.labels.tables import read_table
from tlseg.store.locks.lock import LOCK, held_lock, lock_of

FRAMES = range(1, 4)
KEYS = ("H2B", "GFP__488_")
COLUMNS = [f"intensity_{kind}_{key}" for key in KEYS for kind in ("mean", "sum")]


def two_channels(frames: int = 4) -> dict[str, np.ndarray]:
    """The small movie, and a reporter channel in which every frame and voxel differs."""
    nuclei = small_movie(frames)
    rng = np.random.default_rng(7)
    reporter = rng.integers(0, 60_000, nuclei.shape).astype(np.uint16)
    return {"H2B": nuclei, "GFP (488)": reporter}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie of two channels and the result of frames 1 to 3 of it, with a copy of the first channel."""
    folder = tmp_path_factory.mktemp("measure")
    save_threshold_model(folder / "model", window=(16, 32, 32))
    write_channels(folder / "movie.ome.zarr", two_channels())
    run(folder / "movie.ome.zarr", folder / "model", out=folder / "result.ome.zarr", frames=FRAMES)
    return folder


@pytest.fixture
def result(base: Path, tmp_path: Path) -> Path:
    """The result, to be changed."""
    return Path(shutil.copytree(base / "result.ome.zarr", tmp_path / "result.ome.zarr"))


def table_of(root: Path, name: str = "nuclei") -> pd.DataFrame:
    return read_table(root, name)


def folder_of(root: Path) -> Place:
    return Place(str(root / "tlseg/nuclei"))


def same_but(after: Path, before: Path) -> set[str]:
    """Files of two results that differ, or that one of them lacks."""
    a, b = tree(after), tree(before)
    return {path for path in {*a, *b} if a.get(path) != b.get(path)}


def check(root: Path, image: np.ndarray, columns: list[str], *, first: int = 0, name: str = "nuclei") -> int:
    """Compare columns with scikit-image and with sums in numpy; `image` is (t, c, z, y, x). Returns the number of rows."""
    table, labels, count = table_of(root, name), labels_of(root, name), 0
    for t, frame in enumerate(labels.reshape(len(labels), -1, *labels.shape[-2:])):
        rows = table[table["t"] == t].set_index("label")
        for c in range(image.shape[1]):
            grey = image[first + t, c].reshape(frame.shape)
            theirs = regionprops_table(frame.astype(np.int64), grey, properties=("label", "intensity_mean"))
            theirs = pd.Series(theirs["intensity_mean"], index=theirs["label"])
            assert set(rows.index) == set(theirs.index)
            mean, total = rows[columns[2 * c]], rows[columns[2 * c + 1]]
            np.testing.assert_allclose(mean, theirs.reindex(rows.index), rtol=1e-12)
            assert total.tolist() == [grey[frame == label].sum(dtype=np.int64) for label in rows.index]
            count += len(rows)
    return count


def pixels(movie: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(movie / "0", mode="r")[:])


# --- what is measured


def test_every_channel_of_the_movie_is_measured_in_its_own_frames(base: Path, result: Path) -> None:
    before = table_of(result)
    done = measure_channels(result)
    after = table_of(result)
    assert (done.image, done.first_frame, done.channels) == (str(base / "movie.ome.zarr"), 1, ("H2B", "GFP (488)"))
    assert list(done.columns) == COLUMNS == list(after.columns)[len(before.columns) :]
    assert (done.nuclei, done.frames, done.notes) == (len(after), len(FRAMES), ())
    assert check(result, pixels(base / "movie.ome.zarr"), COLUMNS, first=1) == 2 * len(after) > 20
    pd.testing.assert_frame_equal(after[before.columns], before, check_exact=True)
    pd.testing.assert_series_equal(after["intensity_mean_H2B"], after["intensity_mean"], check_names=False)
    pd.testing.assert_series_equal(after["intensity_sum_H2B"], after["intensity_sum"], check_names=False)
    assert same_but(result, base / "result.ome.zarr") == {"tables/nuclei/table.parquet", "tlseg/nuclei/run.json"}
    assert open_result(result).table().equals(after)


def test_no_cut_changes_a_bit(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = result / "tables/nuclei/table.parquet"
    measure_channels(result)
    whole = file.read_bytes()
    for block in ((1, 5, 48), (7, 11, 13), SHAPE):
        measure_channels(result, block=block)
        assert file.read_bytes() == whole, block
    monkeypatch.setattr(regions, "BLOCK_VOXELS", 1000)
    measure_channels(result)
    assert file.read_bytes() == whole


@pytest.mark.usefixtures("forked_workers")
def test_workers_change_nothing(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_channels(result)
    serial = table_of(result)
    write_table(result, "nuclei", serial.drop(columns=COLUMNS), overwrite=True)

    def never(*arguments: object) -> None:
        pytest.fail("it was measured here")

    monkeypatch.setattr(regions, "sum_grey", never)
    measure_channels(result, workers=2, block=(8, 16, 48))
    pd.testing.assert_frame_equal(table_of(result), serial, check_exact=True)


@pytest.mark.parametrize("where", ["scheduler", "cluster"])
def test_a_cluster_changes_nothing(
    result: Path, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Other processes do the measuring, and after a stop only the frames that are left are measured."""
    whole = Path(shutil.copytree(result, tmp_path / "whole.ome.zarr"))
    measure_channels(whole)
    stop_at(1, result)
    monkeypatch.setattr(regions, "sum_grey", lambda *_: pytest.fail("it was measured here"))
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "{class: LocalCluster, workers: 1, wait_s: 60, options: {n_workers: 0, threads_per_worker: 1, host: 127.0.0.1, "
        "dashboard_address: '127.0.0.1:0'}}"
    )
    said = cli("measure", result, f"--{where}", cluster.scheduler_address if where == "scheduler" else file, "--json")
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["kept_frames"] == 1
    assert same_but(result, whole) <= {"tlseg/nuclei/run.json"}


def test_regions_are_whole_shards_that_a_worker_can_hold() -> None:
    class Layout:
        frame_shape, shard_shape, chunk_shape, dtype = (200, 1000, 1000), (64, 256, 256), (32, 128, 128), "<u4"

    labels: Any = Layout()
    assert regions.block_for(labels, labels, memory_bytes=2**40) == (64, 256, 256)
    few = regions.block_for(labels, labels, memory_bytes=120 * 2**20)
    assert few != (64, 256, 256)
    assert all(n % c == 0 for n, c in zip(few, (32, 128, 128), strict=True))
    with pytest.raises(PlanError, match=r"one chunk of 524288 voxels .*--memory-limit"):
        regions.block_for(labels, labels, memory_bytes=2**20)


def test_measuring_again_replaces_columns_and_leaves_others(result: Path) -> None:
    measure_channels(result)
    first = table_of(result)
    measure_channels(result, channels="GFP (488)")
    measure_channels(result, channels=[1, "1", "GFP (488)"])
    assert table_of(result).equals(first)
    record = open_result(result).record
    assert [entry["name"] for entry in record["measured"]] == ["H2B", "GFP (488)"]
    assert record["measured"][1]["frames"] == [1, 4]
    assert record["complete"] is True


def test_columns_of_another_movie_are_replaced_only_on_request(base: Path, result: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.ome.zarr"
    write_channels(other, {name: image[:, ::-1] for name, image in two_channels().items()})
    measure_channels(result)
    before = tree(result)
    with pytest.raises(LabelError, match=f"already has {', '.join(COLUMNS)}, of {base}/movie.* instead of {other}"):
        measure_channels(result, image=other)
    with pytest.raises(LabelError, match=r"--overwrite .* --prefix NAME"):
        measure_channels(result, image=other, channels=[1])
    with pytest.raises(LabelError, match=r"--prefix is 'a b'.*letters"):
        measure_channels(result, image=other, prefix="a b")
    assert tree(result) == before
    both = measure_channels(result, image=other, prefix="other").columns
    assert both == tuple(
        column.replace("intensity_mean_", "intensity_mean_other_").replace("sum_", "sum_other_") for column in COLUMNS
    )
    assert check(result, pixels(base / "movie.ome.zarr"), COLUMNS, first=1)
    assert check(result, pixels(other), list(both), first=1)
    assert len(open_result(result).record["measured"]) == 4
    measure_channels(result, image=other, overwrite=True)
    assert check(result, pixels(other), COLUMNS, first=1)
    assert measure_channels(result, image=other).columns == tuple(COLUMNS), "now they are of this movie"


def test_columns_of_unknown_origin_are_replaced_only_on_request(result: Path) -> None:
    write_table(result, "nuclei", table_of(result).assign(intensity_mean_H2B=1.0), overwrite=True)
    with pytest.raises(LabelError, match="already has intensity_mean_H2B, of an image that no run record names"):
        measure_channels(result)
    measure_channels(result, channels=[1])
    measure_channels(result, overwrite=True)


def test_the_run_is_still_complete_and_keeps_the_columns(base: Path, result: Path) -> None:
    measure_channels(result)
    before = tree(result)
    again = run(base / "movie.ome.zarr", base / "model", out=result, frames=FRAMES)
    assert again.complete_already
    assert tree(result) == before
    run(base / "movie.ome.zarr", base / "model", out=result, frames=FRAMES, overwrite=True)
    assert "measured" not in open_result(result).record
    assert not set(COLUMNS) & set(table_of(result).columns)


# --- which image, and which of its frames


def test_labels_in_the_movie_itself(base: Path, tmp_path: Path) -> None:
    """There they have all frames; those that were not segmented are empty."""
    movie = Path(shutil.copytree(base / "movie.ome.zarr", tmp_path / "movie.ome.zarr"))
    run(movie, base / "model", frames="2:4")
    moved = movie.rename(tmp_path / "moved.ome.zarr")
    done = measure_channels(moved)
    assert (done.image, done.first_frame, done.frames) == (str(moved), 0, 2)
    assert check(moved, pixels(moved), COLUMNS) > 10


def test_the_copy_is_measured_where_it_has_what_is_wanted(base: Path, result: Path, tmp_path: Path) -> None:
    assert measure_channels(result, channels=["H2B"]).image == str(result)
    assert check(result, pixels(base / "movie.ome.zarr")[:, :1], COLUMNS[:2], first=1)
    assert measure_channels(result, channels=[0]).image == str(base / "movie.ome.zarr"), "a number is that of the movie"
    alone = tmp_path / "alone.ome.zarr"
    write_channels(alone, {"H2B": two_channels()["H2B"]})
    run(alone, base / "model", out=tmp_path / "out.ome.zarr", frames=FRAMES)
    shutil.rmtree(alone)
    done = measure_channels(tmp_path / "out.ome.zarr")
    assert (done.image, done.first_frame) == (str(tmp_path / "out.ome.zarr"), 0)


def test_a_movie_that_is_gone_must_be_named(base: Path, tmp_path: Path) -> None:
    movie = Path(shutil.copytree(base / "movie.ome.zarr", tmp_path / "movie.ome.zarr"))
    out = tmp_path / "out.ome.zarr"
    run(movie, base / "model", out=out, frames=FRAMES)
    moved = movie.rename(tmp_path / "moved.ome.zarr")
    before = tree(out)
    with pytest.raises(
        MovieError, match=r"were made from .*movie.ome.zarr, which can no longer be opened.*--image MOVIE"
    ):
        measure_channels(out)
    assert tree(out) == before
    assert measure_channels(out, image=moved).first_frame == 1
    assert check(out, pixels(moved), COLUMNS, first=1)


@pytest.mark.parametrize("interval_s", [60.0, None])
def test_frames_are_those_of_the_labels(base: Path, result: Path, tmp_path: Path, interval_s: float | None) -> None:
    """Matched by time if known, else by number; an image of only these frames is taken as such, with a note."""
    every = pixels(base / "movie.ome.zarr")

    def image(name: str, frames: slice, start_s: float) -> Path:
        writer = create_image(
            tmp_path / name,
            pyramid=plan_pyramid(SHAPE, spacing_um=(1.6, 0.8, 0.8)),
            n_frames=len(every[frames]),
            dtype="uint16",
            channel_names=["H2B", "GFP (488)"],
            is_2d=False,
            interval_s=interval_s,
            start_s=start_s,
        )
        for t, frame in enumerate(every[frames]):
            for c in range(2):
                writer.write(t, next(iter(writer.regions)), frame[c].copy(), channel=c)
        writer.finish()
        return tmp_path / name

    for name, frames, start_s, first, noted in (
        ("whole", slice(None), 0.0, 1, False),
        ("same", slice(1, None), 60.0, 0, interval_s is None),
        ("untimed", slice(1, None), 0.0, 0, True),
    ):
        done = measure_channels(result, image=image(name, frames, start_s), overwrite=True)
        assert (done.first_frame, bool(done.notes)) == (first, noted), name
        assert not noted or "has as many frames as the labels" in done.notes[0]
        assert check(result, every, COLUMNS, first=1)
    with pytest.raises(MovieError, match=r"has 2 frames, but the labels .* cover frames 1 to 3"):
        measure_channels(result, image=image("short", slice(2), 0.0))


def test_an_image_of_other_voxels_is_refused(result: Path, tmp_path: Path) -> None:
    write_channels(tmp_path / "other", {"a": np.zeros((4, 24, 48, 32), np.uint16)})
    with pytest.raises(MovieError, match=r"frames of 24 x 48 x 32 voxels, but the labels .* have 24 x 48 x 48"):
        measure_channels(result, image=tmp_path / "other")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(["RFP"], "'RFP' was requested.*'GFP"), ([2], "Expected 0 to 1"), ([], "The list of channels is empty")],
)
def test_channels_that_are_none_are_refused(result: Path, wanted: list[Any], said: str) -> None:
    with pytest.raises(MovieError, match=said):
        measure_channels(result, channels=wanted)


def test_one_channel_may_be_a_number_of_numpy(result: Path) -> None:
    assert measure_channels(result, channels=np.int64(1)).channels == ("GFP (488)",)


def test_linked_labels_are_those_of_the_first_movie(base: Path, result: Path, tmp_path: Path) -> None:
    out = tmp_path / "linked.ome.zarr"
    link_labels(base / "result.ome.zarr", out=out)
    done = measure_channels(out)
    assert (done.image, done.first_frame) == (str(base / "movie.ome.zarr"), 1)
    assert check(out, pixels(base / "movie.ome.zarr"), COLUMNS, first=1)
    assert open_result(out).record["measured"]


def test_labels_without_a_record_beside_their_image(base: Path, tmp_path: Path) -> None:
    movie = tmp_path / "movie.ome.zarr"
    simulate(movie, SimulationSettings(frames=2, start_nuclei=2, shape=(16, 64, 64)))
    folders = {path.name for path in movie.iterdir()}
    done = measure_channels(movie, name="truth")
    assert check(movie, pixels(movie), list(done.columns), name="truth")
    assert {path.name for path in movie.iterdir()} == folders, "of the lock nothing remains"


def test_in_two_dimensions(tmp_path: Path) -> None:
    movie, rng = tmp_path / "flat.ome.zarr", np.random.default_rng(0)
    writer = create_image(
        movie,
        pyramid=plan_pyramid((1, 40, 30), spacing_um=(1.0, 0.5, 0.5)),
        n_frames=2,
        dtype="uint8",
        channel_names=["a", "b"],
        is_2d=True,
        interval_s=None,
    )
    for t in range(2):
        for c in range(2):
            writer.write(t, next(iter(writer.regions)), rng.integers(0, 255, (1, 40, 30), np.uint8), channel=c)
    writer.finish()
    labels = create_labels(movie, name="cells", source=open_source(movie))
    for t in range(2):
        frame = np.zeros((1, 40, 30), np.uint32)
        frame[0, 5 + t : 15, 5:15], frame[0, 20:30, 10 + t : 25] = 1, 2
        labels.write(t, labels.regions[0], frame)
    labels.finish()
    link_labels(movie, labels_name="cells", name="tracked")
    done = measure_channels(movie, name="tracked")
    assert check(movie, pixels(movie), list(done.columns), name="tracked") == 8


# --- pixels that are not what the table says, and values that are none


def test_labels_that_were_edited_since(base: Path, result: Path) -> None:
    table = table_of(result)
    array = zarr.open_array(result / "labels/nuclei/0", mode="r+")
    labels = np.asarray(array[:])
    gone, shrunk = (int(n) for n in table[table["t"] == 1].nlargest(2, "volume_voxels")["label"])
    labels[1][labels[1] == gone] = 0
    half = np.flatnonzero(labels[1].ravel() == shrunk)[::2]
    labels[1].ravel()[half] = 0
    labels[2, :2, :2, :2] = 999
    array[:] = labels
    done = measure_channels(result)
    assert (done.without_pixels, done.unlisted_labels) == (1, 1)
    assert done.unlisted_voxels == int((labels[2] == 999).sum())
    assert "edited since, or chunks are missing): 1 of" in done.notes[0]
    assert "have no row" in done.notes[1]
    after = table_of(result)
    here = (after["t"] == 1) & (after["label"] == gone)
    assert after.loc[here, COLUMNS].isna().all(axis=None)
    assert after.loc[~here, COLUMNS].notna().all(axis=None)
    reporter = pixels(base / "movie.ome.zarr")[2, 1]
    (mean,) = after.loc[(after["t"] == 1) & (after["label"] == shrunk), COLUMNS[2]]
    assert mean == pytest.approx(reporter[labels[1] == shrunk].mean(), rel=1e-12)
    assert after["intensity_mean"].equals(table["intensity_mean"])


def floats(folder: Path, change: Callable[[np.ndarray], None], dtype: str = "float32") -> Path:
    values = np.random.default_rng(3).normal(0, 1e6, (4, *SHAPE)).astype(dtype)
    change(values)
    return write_channels(folder / "floats.ome.zarr", {"ratio": values})


def test_a_nucleus_with_a_voxel_without_a_number_has_none(result: Path, tmp_path: Path) -> None:
    labels, row = labels_of(result), table_of(result).iloc[0]
    place = tuple(np.argwhere(labels[int(row["t"])] == row["label"])[0])

    def change(values: np.ndarray) -> None:
        values[(int(row["t"]) + 1, *place)] = np.nan
        values[:, labels.max(axis=0) == 0] = np.nan

    movie = floats(tmp_path, change)
    done = measure_channels(result, image=movie)
    assert done.without_value == {"intensity_mean_ratio": 1}
    assert done.notes == ("Rows with NaN in intensity_mean_ratio and its sum because a voxel is NaN or infinite: 1.",)
    after, grey = table_of(result), pixels(movie)[:, 0]
    assert after[["intensity_mean_ratio", "intensity_sum_ratio"]].isna().sum().tolist() == [1, 1]
    assert after.loc[0, ["intensity_mean_ratio"]].isna().all()
    for at in after.index[1:]:
        t, label = int(after.loc[at, "t"]), after.loc[at, "label"]
        exact = grey[t + 1][labels[t] == label].astype(np.float64)
        assert after.loc[at, "intensity_mean_ratio"] == pytest.approx(exact.mean(), rel=1e-9)
    file = result / "tables/nuclei/table.parquet"
    whole = file.read_bytes()
    measure_channels(result, image=movie, block=(3, 7, 9))
    assert file.read_bytes() == whole


def test_a_value_that_cannot_be_added_is_refused(result: Path, tmp_path: Path) -> None:
    before = tree(result)
    movie = floats(tmp_path, lambda values: values.fill(1e300), "float64")
    with pytest.raises(MovieError, match=r"contains the grey value 1e\+300.*convert the image to float32"):
        measure_channels(result, image=movie)
    assert tree(result) == before


def test_absent_chunks_are_not_measured_as_nothing(base: Path, result: Path, tmp_path: Path) -> None:
    movie = Path(shutil.copytree(base / "movie.ome.zarr", tmp_path / "movie.ome.zarr"))
    shutil.rmtree(movie / "0/c/0")
    measure_channels(result, image=movie)
    shutil.rmtree(movie / "0/c/2/1")
    with pytest.raises(MovieError, match=r"channel GFP \(488\): .*--allow-missing"):
        measure_channels(result, image=movie)
    measure_channels(result, image=movie, channels=[0])
    measure_channels(result, image=movie, allow_missing=True)
    assert (table_of(result).groupby("t")["intensity_sum_GFP__488_"].sum() == 0).tolist() == [False, True, False]


# --- nothing is half there, and nobody is in the way of another


@contextmanager
def measured_frames() -> Iterator[list[int]]:
    """Frames whose pixels are measured in the meantime, in order."""
    frames: list[int] = []

    def watched(job: Any, frame: int, region: int) -> Any:
        frames.append(frame)
        return original(job, frame, region)

    original = regions.measure_region
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "measure_region", watched)
        yield frames


def stop_at(frame: int, root: Path, **settings: Any) -> None:
    """Begin a measurement that is stopped by Ctrl-C in a frame."""

    def stopped(job: Any, at: int, region: int) -> Any:
        if at == frame:
            raise KeyboardInterrupt
        return original(job, at, region)

    original = regions.measure_region
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "measure_region", stopped)
        with pytest.raises(KeyboardInterrupt):
            measure_channels(root, **settings)


KILLED = """
import os, signal, sys
from tlseg.run.measuring import channels, regions
def killing(*arguments):
    if sys.argv[2] == "record" or arguments[1] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure_region(*arguments)
measure_region = regions.measure_region
if sys.argv[2] == "record":
    channels.remember = killing
else:
    regions.measure_region = killing
channels.measure_channels(sys.argv[1])
"""


@pytest.mark.parametrize(("place", "left"), [("pixels", [2]), ("record", [])])
def test_killed_and_resumed(result: Path, tmp_path: Path, place: str, left: list[int]) -> None:
    whole = Path(shutil.copytree(result, tmp_path / "whole.ome.zarr"))
    done = measure_channels(whole)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(result), place], check=False)
    assert killed.returncode == -signal.SIGKILL
    with measured_frames() as frames:
        again = measure_channels(result)
    assert (frames, again.kept_frames, done.kept_frames) == (left, 3 - len(left), 0)
    assert replace(again, path="", kept_frames=0, seconds=0) == replace(done, path="", seconds=0)
    assert same_but(result, whole) <= {"tlseg/nuclei/run.json"}, "of working files and lock nothing is left"
    with measured_frames() as frames:
        measure_channels(result)
    assert frames == [0, 1, 2], "what is done is done again on request"


@pytest.mark.parametrize("array", ["labels/nuclei", "movie"])
def test_pixels_written_in_the_meantime_are_measured_again(
    base: Path, result: Path, tmp_path: Path, array: str
) -> None:
    movie = Path(shutil.copytree(base / "movie.ome.zarr", tmp_path / "movie.ome.zarr"))
    stop_at(2, result, image=movie)
    pixels = zarr.open_array((movie if array == "movie" else result / array) / "0", mode="r+")
    t = 1 + FRAMES.start * (array == "movie")
    pixels[t] = np.asarray(pixels[t])[..., ::-1]
    fresh = Path(shutil.copytree(result, tmp_path / "fresh.ome.zarr"))
    shutil.rmtree(fresh / "tlseg/nuclei/measuring")
    measure_channels(fresh, image=movie)
    with measured_frames() as frames:
        assert measure_channels(result, image=movie).kept_frames == 1
    assert frames == [1, 2]
    assert same_but(result, fresh) <= {"tlseg/nuclei/run.json"}


def test_other_channels_or_another_movie_start_over(base: Path, result: Path, tmp_path: Path) -> None:
    movie = shutil.copytree(base / "movie.ome.zarr", tmp_path / "movie.ome.zarr")
    for other in ({"channels": [1]}, {"image": movie}):
        stop_at(2, result)
        with measured_frames() as frames:
            assert measure_channels(result, overwrite=True, **other).kept_frames == 0
        assert frames == [0, 1, 2]
        assert not (result / "tlseg/nuclei/measuring").exists()


def test_neither_block_nor_names_of_columns_nor_a_move_start_over(result: Path, tmp_path: Path) -> None:
    stop_at(2, result, block=(8, 16, 48))
    moved = result.rename(tmp_path / "moved.ome.zarr")
    assert measure_channels(moved, prefix="again").kept_frames == 2


def test_working_files_lie_where_they_are_wanted(result: Path, tmp_path: Path) -> None:
    before = tree(result)
    stop_at(2, result, scratch=tmp_path / "scratch")
    assert tree(result) == before
    said = cli("measure", result, "--scratch", tmp_path / "scratch")
    assert said.stdout.splitlines()[0].endswith("s, resumed).")
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(PlanError, match=r"--scratch is 's3://bucket/scratch'"):
        measure_channels(result, scratch="s3://bucket/scratch")


def test_what_is_damaged_is_measured_again(result: Path) -> None:
    stop_at(2, result)
    (file,) = (result / "tlseg/nuclei/measuring").rglob("000001/*.npz")
    file.write_bytes(file.read_bytes()[:-30])
    with measured_frames() as frames:
        measure_channels(result)
    assert frames == [1, 2]


def test_an_unfinished_measurement_ends_with_its_labels(base: Path, result: Path) -> None:
    stop_at(2, result)
    run(base / "movie.ome.zarr", base / "model", out=result, frames=FRAMES, overwrite=True)
    assert not (result / "tlseg/nuclei/measuring").exists()


def test_frames_without_labels_are_kept_too(base: Path, tmp_path: Path) -> None:
    """For labels without a run record, too, nothing but the columns is left."""
    movie = Path(shutil.copytree(base / "movie.ome.zarr", tmp_path / "movie.ome.zarr"))
    run(movie, base / "model", frames="2:4")
    shutil.rmtree(movie / "tlseg")
    before = tree(movie)
    stop_at(3, movie)
    with measured_frames() as frames:
        done = measure_channels(movie)
    assert (frames, done.kept_frames, done.frames, done.without_pixels) == ([3], 3, 2, 0)
    assert {path for path, digest in tree(movie).items() if digest != before.get(path)} == {
        "tables/nuclei/table.parquet"
    }
    assert check(movie, pixels(movie), COLUMNS) > 10


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("place", ["pixels", "table"])
def test_a_measurement_that_is_stopped_leaves_the_table(
    result: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str
) -> None:
    measure_channels(result, channels=["H2B"])
    before = tree(result)

    def stop(*arguments: object, **settings: object) -> None:
        raise error

    owner, name = (MovieSource, "read") if place == "pixels" else (TableWriter, "_publish")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises((KeyboardInterrupt, RunError)) as caught:
            measure_channels(result)
    if isinstance(caught.value, RunError):
        assert str(caught.value).endswith("What is measured is kept; run the same command again to continue.")
        assert ("cannot be replaced (No space left" in str(caught.value)) == (place == "table")
    kept = {path for path in tree(result) if path.startswith("tlseg/nuclei/measuring")}
    assert bool(kept) == (place == "table")
    assert {path: digest for path, digest in tree(result).items() if path not in kept} == before
    assert held_lock(folder_of(result)) is None
    assert measure_channels(result).kept_frames == (3 if kept else 0)


def test_workers_that_do_not_start_are_not_a_table_that_is_not_written(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(pools, "local_cluster", fail)
    with pytest.raises(RunError, match=r"The measurement stopped: .*Too many open files") as caught:
        measure_channels(result, workers=1)
    assert "table" not in str(caught.value)


def test_two_writers_exclude_each_other(base: Path, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock_of(folder_of(result)), pytest.raises(RunError, match="Another run is writing"):
        measure_channels(result)
    seen = []

    def look(*arguments: Any, **settings: Any) -> None:
        seen.append((result / "tlseg/nuclei" / LOCK).exists())
        with pytest.raises(RunError, match="Another run is writing"):
            run(base / "movie.ome.zarr", base / "model", out=result, frames=FRAMES, overwrite=True)
        original(*arguments, **settings)

    original = module.set_columns
    monkeypatch.setattr(module, "set_columns", look)
    measure_channels(result)
    assert seen == [True]


def test_only_what_is_finished_is_measured(base: Path, result: Path, tmp_path: Path) -> None:
    with pytest.raises(MovieError, match="does not exist"):
        measure_channels(tmp_path / "none")
    with pytest.raises(LabelError, match=r"no finished labels 'nuclei', nor any others\. Make them with tlseg segment"):
        measure_channels(base / "movie.ome.zarr")
    record = (result / "tlseg/nuclei/run.json").read_text()
    (result / "tlseg/nuclei/run.json").unlink()
    with pytest.raises(LabelError, match="labels 'nuclei' that are not finished"):
        measure_channels(result)
    (result / "tlseg/nuclei/run.json").write_text(record)
    (result / "tlseg/nuclei/linking.json").write_text("{}")
    with pytest.raises(LabelError, match="not finished"):
        measure_channels(result)
    (result / "tlseg/nuclei/linking.json").unlink()
    shutil.rmtree(result / "tables/nuclei")
    with pytest.raises(LabelError, match="cannot be read"):
        measure_channels(result)


# --- as a person and as a program use it


def cli(*words: object) -> Said:
    return invoke(main, *words)


def test_the_command_says_what_it_did(base: Path, result: Path) -> None:
    said = cli("measure", result, "--channel", "GFP (488)", "--channel", 0)
    assert said.exit_code == 0, said.stderr
    first, *others = said.stdout.splitlines()
    assert first.startswith(f"2 channels (GFP (488), H2B) of {base}/movie.ome.zarr: {len(table_of(result))} instances")
    assert others == [f"Columns: {', '.join([*COLUMNS[2:], *COLUMNS[:2]])}", f"Table 'nuclei': {result}"]
    assert said.stderr.splitlines()[-1].startswith("measure: 3/3")
    told = json.loads(cli("measure", result, "--json").stdout)
    assert told["columns"] == COLUMNS
    assert Measured(**told).nuclei == len(table_of(result))


def test_on_ctrl_c_the_command_says_how_to_go_on(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(regions, "sum_grey", stop)
    said = cli("measure", result)
    assert said.exit_code == 1
    assert said.stderr.splitlines()[-1] == "Stopped. Run the same command again to continue from here."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{result}", "--prefix", "a/b"], "--prefix is 'a/b', but becomes part of column names"),
        (["{result}", "--channel", "RFP"], "channel 'RFP' was requested"),
        (["{result}", "--name", "cells"], "no finished labels 'cells'"),
        (["{result}", "--image", "nowhere.ome.zarr"], "nowhere.ome.zarr does not exist"),
        (["{result}", "--image", "{result}/labels/nuclei"], "labels/nuclei is a label image, which has no intensities"),
        (["{result}", "--workers", "1", "--scheduler", "tcp://127.0.0.1:1"], "Give only one of --workers, --scheduler"),
        (["{result}", "--memory-limit", "0.001"], "--memory-limit"),
        (["nowhere.ome.zarr"], "nowhere.ome.zarr does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(result: Path, words: list[str], said: str) -> None:
    before = tree(result)
    done = cli("measure", *(word.format(result=result) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert tree(result) == before


def test_a_place_that_cannot_be_written_is_one_line(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is simulated, since root may write anywhere."""
    before = tree(result)

    def refuse(self: Path, *arguments: Any, **settings: Any) -> Any:
        if self.name.startswith(f".{LOCK}"):
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *arguments, **settings)

    original = Path.mkdir
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        done = cli("measure", result)
    assert done.exit_code == 2
    assert "cannot be written to (PermissionError" in done.stderr
    assert "--out" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    monkeypatch.setattr("os.access", lambda *arguments, **settings: False)
    assert "cannot be written to (no permission)" in cli("measure", result).stderr
    assert tree(result) == before


def test_exports_carry_the_columns_and_replace_those_without(result: Path, tmp_path: Path) -> None:
    table, criteria = tmp_path / "nuclei.csv", tmp_path / "criteria"
    tlseg.export(result, "csv", out=table)
    tlseg.export(result, "criteria", out=criteria)
    header = table.read_text().splitlines()[0]
    before = (criteria / "frames.csv").read_text().splitlines()[0]
    measure_channels(result, channels=["GFP (488)"])
    with pytest.raises(LabelError, match="Use --overwrite"):
        tlseg.export(result, "csv", out=table)
    tlseg.export(result, "csv", out=table, overwrite=True)
    tlseg.export(result, "criteria", out=criteria, overwrite=True)
    rows, nuclei = pd.read_csv(table), table_of(result)
    assert ",".join(rows.columns) == f"{header},intensity_mean_GFP__488__grey,intensity_sum_GFP__488__grey"
    np.testing.assert_allclose(rows["intensity_mean_GFP__488__grey"], nuclei[COLUMNS[2]], rtol=1e-11)
    frames, tracks = (pd.read_csv(criteria / f"{kind}.csv") for kind in ("frames", "tracks"))
    assert set(before.split(",")) < set(frames.columns)
    by_frame, by_track = nuclei.groupby("t")[COLUMNS[2]], nuclei.groupby("track")[COLUMNS[2]]
    np.testing.assert_allclose(frames[f"{COLUMNS[2]}_mean"], by_frame.mean(), rtol=1e-11)
    np.testing.assert_allclose(frames[f"{COLUMNS[3]}_sum"], nuclei.groupby("t")[COLUMNS[3]].sum(), rtol=1e-11)
    np.testing.assert_allclose(tracks[f"{COLUMNS[2]}_mean"], by_track.mean(), rtol=1e-11)
    measure_channels(result)
    tlseg.export(result, "csv", out=table, overwrite=True)
    table.write_text(f"{header},somebody's own\n")
    with pytest.raises(LabelError, match="is not an export in this format"):
        tlseg.export(result, "csv", out=table, overwrite=True)


def test_points_of_a_measured_table_can_be_linked(result: Path, tmp_path: Path) -> None:
    measure_channels(result)
    tlseg.export(result, "csv", out=tmp_path / "nuclei.csv")
    assert tlseg.link_points(tmp_path / "nuclei.csv", out=tmp_path / "points").nuclei == len(table_of(result))
