"""Linked or adopted labels of part of a movie remain that part in scores, exports and measurements."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import tlseg
from handmade import save_threshold_model, write_channels
from runs import run, small_movie
from tlseg.run.linking.linked import Linked
from tlseg.store.labels.record import read_record, skipped_frames

FRAMES = range(1, 4)
SKIPPED = 2


@pytest.fixture(scope="module", params=[600.0, None], ids=["with times", "without times"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie, results of all of it and of a part, and the same part among the movie's own labels."""
    folder = tmp_path_factory.mktemp("part")
    save_threshold_model(folder / "model", window=(16, 32, 32))
    nuclei = small_movie(5)
    write_channels(folder / "movie.ome.zarr", {"H2B": nuclei, "GFP": nuclei[::-1]}, interval_s=request.param)
    shutil.copytree(folder / "movie.ome.zarr", folder / "own.ome.zarr")
    run(folder / "movie.ome.zarr", folder / "model", out=folder / "all.ome.zarr")
    for movie, out in (("movie.ome.zarr", folder / "part.ome.zarr"), ("own.ome.zarr", None)):
        run(folder / movie, folder / "model", out=out, frames=FRAMES, skip_frames=[SKIPPED])
    tlseg.measure_channels(folder / "part.ome.zarr", channels=["GFP"])
    return folder


@pytest.fixture(params=["part", "own"])
def given(request: pytest.FixtureRequest, base: Path, tmp_path: Path) -> Path:
    """The result of a part, or the movie that holds it."""
    return Path(shutil.copytree(base / f"{request.param}.ome.zarr", tmp_path / "given.ome.zarr"))


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("again", [tlseg.adopt_labels, tlseg.link_labels])
def test_a_part_stays_that_part(
    again: Callable[..., Linked], beside: bool, base: Path, given: Path, tmp_path: Path
) -> None:
    made = again(given, labels_name="nuclei", name="again", out=None if beside else tmp_path / "again.ome.zarr")
    record = read_record(made.path, "again")
    assert record["fingerprint"]["frames"] == [FRAMES.start, FRAMES.stop]
    assert skipped_frames(record) == [SKIPPED]
    assert record["motherless"] == read_record(str(given), "nuclei")["motherless"]

    before = tlseg.evaluate(given, base / "all.ome.zarr", name="nuclei")
    after = tlseg.evaluate(made.path, base / "all.ome.zarr", name="again")
    assert [row.t for row in after.frames] == [row.t for row in before.frames] == list(FRAMES)
    assert [row.seg for row in after.frames] == [row.seg for row in before.frames]

    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    tlseg.export(given, format="csv", out=old, name="nuclei")
    tlseg.export(made.path, format="csv", out=new, name="again")
    pd.testing.assert_frame_equal(_placed(new), _placed(old))


@pytest.mark.parametrize("beside", [True, False])
def test_a_movie_that_moved_is_measured_in_the_same_frames(beside: bool, base: Path, tmp_path: Path) -> None:
    part = shutil.copytree(base / "part.ome.zarr", tmp_path / "part.ome.zarr")
    made = tlseg.adopt_labels(part, name="again", out=None if beside else tmp_path / "again.ome.zarr")
    moved = shutil.copytree(base / "movie.ome.zarr", tmp_path / "moved.ome.zarr")
    tlseg.measure_channels(made.path, name="again", image=moved, channels=["GFP"])
    columns = ["t", "label", "intensity_mean_GFP", "intensity_sum_GFP"]
    measured = tlseg.open_result(made.path, name="again").table()[columns]
    pd.testing.assert_frame_equal(measured, tlseg.open_result(part, name="nuclei").table()[columns])


def _placed(file: Path) -> pd.DataFrame:
    """Where and when nuclei are, whatever their numbers."""
    table = pd.read_csv(file)
    columns = [name for name in ("t_frames", "time_s", "z_um", "y_um", "x_um") if name in table]
    return table[columns].sort_values(columns, ignore_index=True)
