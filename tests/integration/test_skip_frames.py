"""A blank or damaged frame is left empty if named, and tracks continue across it."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from handmade import save_threshold_model, write_movie
from runs import BLOCK, essence, labels_of, run, small_movie
from tlseg.config import as_skipped
from tlseg.errors import LabelError, MovieError
from tlseg.report.criteria_files import write_criteria
from tlseg.report.pictures import open_footage, take_strip
from tlseg.report.write import write_report
from tlseg.store.labels.result import open_result
from tlseg.view.scene import open_scene

FRAMES = 5


@pytest.fixture
def spoilt(tmp_path: Path) -> tuple[Path, Path]:
    """A movie whose frames 0 and 2 are blank, and a model."""
    values = small_movie(FRAMES)
    values[[0, 2]] = 7
    save_threshold_model(tmp_path / "model", window=(16, 32, 32))
    return write_movie(tmp_path / "movie.ome.zarr", values), tmp_path / "model"


def test_a_blank_frame_is_named_with_the_way_on(spoilt: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(MovieError, match=r"Frame 2 is constant.*--skip-frames 2\."):
        run(*spoilt, out=tmp_path / "out.ome.zarr", skip_frames="0")


def test_tracks_go_on_across_a_skipped_frame(spoilt: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    summary = run(*spoilt, out=out, skip_frames=[0, 2])
    labels = labels_of(out)
    assert summary.frames == FRAMES
    assert not labels[[0, 2]].any()
    kept = [set(np.unique(labels[t])) - {0} for t in (1, 3, 4)]
    assert kept[0]
    assert kept[0] == kept[1] == kept[2]
    assert set(open_result(out).table()["t"]) == {1, 3, 4}
    assert open_result(out).record["fingerprint"]["skip_frames"] == [0, 2]


def test_nothing_begins_in_mid_movie_for_a_frame_that_was_skipped(spoilt: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    assert run(*spoilt, out=out, skip_frames="0,2", frames="0:5").motherless == 0
    report = write_report(out)
    assert (report.facts.skipped, report.facts.motherless) == ((0, 2), 0)
    assert report.facts.first_count > 0
    assert "Frames left empty</dt><dd>0, 2</dd>" in Path(report.path).read_text()


def test_nothing_is_told_of_a_frame_that_was_skipped(spoilt: tuple[Path, Path], tmp_path: Path) -> None:
    """It has no nuclei because nobody looked, and no track was missed in it."""
    out = tmp_path / "out.ome.zarr"
    run(*spoilt, out=out, skip_frames="0,2")
    report = write_report(out)
    assert report.attention["gaps"] == 0
    page = Path(report.path).read_text()
    assert "0 nuclei, frame" not in page
    assert [f"nuclei, frame {t}<" in page for t in range(FRAMES)] == [False, True, False, True, True]
    write_criteria(out, out=tmp_path / "criteria")
    frames = pd.read_csv(tmp_path / "criteria" / "frames.csv")
    assert list(frames["t"]) == [1, 3, 4]
    assert (frames["count"] > 0).all()


def test_pictures_beside_a_damaged_frame_are_as_bright_as_elsewhere(tmp_path: Path) -> None:
    values = np.where(np.arange(FRAMES)[:, None, None, None] == 2, np.nan, small_movie(FRAMES)).astype(np.float32)
    values[2, :4] = 7
    save_threshold_model(tmp_path / "model", window=(16, 32, 32))
    movie = write_movie(tmp_path / "movie.ome.zarr", values)
    out = tmp_path / "out.ome.zarr"
    run(movie, tmp_path / "model", out=out, skip_frames="2")
    shots = take_strip(open_footage(f"{out}/labels/nuclei", str(out))).shots
    pictures = [Image.open(BytesIO(b64decode(shot.grey.split(",")[1]))) for shot in shots]
    assert [np.asarray(picture).max() > 200 for picture in pictures] == [True, True, False, True, True]
    assert np.isfinite(open_scene(out).window).all()


def test_other_frames_are_as_they_would_be(spoilt: tuple[Path, Path], tmp_path: Path) -> None:
    movie, model = spoilt
    run(movie, model, out=tmp_path / "all.ome.zarr", skip_frames="0,2")
    run(movie, model, out=tmp_path / "end.ome.zarr", frames="3:5")
    columns = ["z", "y", "x", "volume_voxels", "intensity_sum", "seed"]
    whole, end = (open_result(tmp_path / name).table() for name in ("all.ome.zarr", "end.ome.zarr"))
    late = whole[whole["t"] >= 3]
    pd.testing.assert_frame_equal(
        late[columns].sort_values(columns).reset_index(drop=True),
        end[columns].sort_values(columns).reset_index(drop=True),
        check_categorical=False,
    )


@pytest.mark.parametrize("settings", [{"block": (16, 16, 16)}, {"method": "qcanet", "workers": 0, "block": None}])
def test_the_cut_changes_nothing(spoilt: tuple[Path, Path], tmp_path: Path, settings: dict[str, object]) -> None:
    run(*spoilt, out=tmp_path / "a.ome.zarr", skip_frames="0,2", block=BLOCK)
    run(*spoilt, out=tmp_path / "b.ome.zarr", skip_frames="0,2", **settings)
    assert essence(tmp_path / "a.ome.zarr") == essence(tmp_path / "b.ome.zarr")


def test_the_same_command_finds_its_result_and_another_choice_does_not(
    spoilt: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.zarr"
    run(*spoilt, out=out, skip_frames="0,2")
    assert run(*spoilt, out=out, skip_frames=(2, 0)).complete_already
    with pytest.raises(LabelError, match="skip_frames"):
        run(*spoilt, out=out, skip_frames="0:3")


@pytest.mark.parametrize(
    ("given", "said"),
    [("5", "frames 0 to 4"), ("0:5", "leave at least one"), ("1:1", "A:B"), ("a", "A:B"), ([-1], "A:B"), (3, "A:B")],
)
def test_frames_that_cannot_be_skipped(spoilt: tuple[Path, Path], tmp_path: Path, given: object, said: str) -> None:
    with pytest.raises(MovieError, match=said):
        run(*spoilt, out=tmp_path / "out.ome.zarr", skip_frames=given)
    assert not (tmp_path / "out.ome.zarr").exists()


def test_numbers_and_ranges_are_the_same() -> None:
    assert as_skipped("17, 40:43") == as_skipped([17, 40, 41, 42]) == as_skipped(np.array([40, 41, 42, 17]))
    assert as_skipped(None) == frozenset()
