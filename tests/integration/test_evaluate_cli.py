"""`tlseg evaluate` from the command line, and on real embryos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import Result
from scipy.ndimage import grey_dilation

from commandline import invoke
from tlseg.cli import main
from tlseg.evaluate.api import evaluate

EMBRYO_UM = (1.75, 0.8, 0.8)


def run(*arguments: object) -> Result:
    return invoke(main, "evaluate", *arguments)


@pytest.fixture
def movies(tmp_path: Path) -> tuple[Path, Path]:
    """A truth of two nuclei, one dividing, and a result that missed the division; both with track files."""
    truth = np.zeros((4, 2, 8, 12), dtype=np.uint16)
    truth[:, :, 1:4, 1:5], truth[:2, :, 5:8, 2:10] = 1, 2
    truth[2:, :, 5:8, 2:6], truth[2:, :, 5:8, 6:10] = 3, 4
    result = truth.copy()
    result[result > 2] = 2
    for name, prefix, movie, text in (
        ("truth", "man_track", truth, "1 0 3 0\n2 0 1 0\n3 2 3 2\n4 2 3 2\n"),
        ("result", "mask", result, "1 0 3 0\n2 0 3 0\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{'man' if name == 'truth' else 'res'}_track.txt").write_text(text)
        for t, frame in enumerate(movie):
            tifffile.imwrite(tmp_path / name / f"{prefix}{t:03d}.tif", frame)
    return tmp_path / "result", tmp_path / "truth"


def test_json_has_the_documented_keys(movies: tuple[Path, Path]) -> None:
    found = run(*movies, "--json", "--spacing", "2,1,1", "--division-tolerance", 2)
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    scores = ["iou", "seg", "mucov", "pq", "rq", "sq", "precision", "recall", "f1"]
    assert list(values) == [
        *("n_frames", "n_frames_with_truth", "n_truth", "n_result", "count_bias", "volume_bias", "iou_threshold"),
        *scores,
        *("pooled", "curve", "splits", "merges", "misses", "extras", "spacing_um", "detection"),
        *("volume_ratio", "tracking"),
        *("frames", "notes"),
    ]
    assert list(values["pooled"]) == scores
    wrong = ["splits", "merges", "misses", "extras"]
    assert list(values["frames"][0]) == [
        "t",
        "n_truth",
        "n_result",
        "iou",
        "seg",
        "mucov",
        "pq",
        "f1",
        *wrong,
        "detection_f1",
    ]
    assert [sum(frame[key] for frame in values["frames"]) for key in wrong] == [values[key] for key in wrong]
    assert list(values["detection"]) == ["tolerance_um", "tp", "fp", "fn", "precision", "recall", "f1", "mean_f1"]
    assert list(values["volume_ratio"]) == ["n", "median", "low", "high"]
    tracking = ["det", "tra", "lnk", "ct", "tf", "errors", "n_truth_tracks", "n_result_tracks"]
    tracking += ["complete_lineages", "n_truth_lineages", "cca", "hota", "divisions"]
    assert list(values["tracking"]) == tracking
    assert len(values["tracking"]["divisions"]) == 3
    assert (values["n_truth"], values["n_result"], values["merges"]) == (10, 8, 2)
    assert values["tracking"]["errors"]["ns"] == 2
    assert values["tracking"]["divisions"][1]["recall"] == 0


def test_tables_show_scores_tracks_and_notes(movies: tuple[Path, Path]) -> None:
    found = run(*movies)
    assert found.exit_code == 0, found.output
    for words in (
        "4 frames",
        "SEG",
        "F1 at IoU 0.5",
        "merged",
        "TRA",
        "divisions within 1 frame",
        "Note: Neither side",
    ):
        assert words in found.output
    assert "TRA" not in run(*movies, "--no-tracking").output


def test_every_frame_has_a_row_and_of_many_the_worst(tmp_path: Path) -> None:
    truth = np.zeros((25, 1, 20, 20), np.uint8)
    truth[:, :, 2:12, 2:12] = 1
    result = truth.copy()
    result[7, :, 2:12, 2:6] = 0
    result[11] = 0
    for name, frames in (("few", 12), ("many", 25)):
        for side, movie in (("result", result), ("truth", truth)):
            tifffile.imwrite(tmp_path / f"{name}-{side}.tif", movie[:frames], metadata={"axes": "TZYX"})
    few, many = (
        run(tmp_path / f"{name}-result.tif", tmp_path / f"{name}-truth.tif", "--spacing", "1,1,1").stdout.splitlines()
        for name in ("few", "many")
    )
    rows = {line.split()[0]: line.split()[1:] for line in few if len(line.split()) == 10 and line.split()[0].isdigit()}
    assert list(rows) == [str(t) for t in range(12)]
    assert rows["7"] == ["1", "1", "0.6000", "1.0000", "1.0000", "0", "0", "0", "0"]
    assert rows["11"] == ["1", "0", "0.0000", "0.0000", "0.0000", "0", "0", "1", "0"]
    shown = [line.split()[0] for line in many if len(line.split()) == 10 and line.split()[0].isdigit()]
    assert shown == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "11"]
    assert any("the 10 of 25 with the lowest SEG" in line for line in many)
    assert any(
        "volume ratio of 11 matched, median" in line and "1.000 (5 to 95 %: 0.800 to 1.000)" in line for line in few
    )


def test_frames_that_are_done_are_counted_beside_the_tables(movies: tuple[Path, Path]) -> None:
    found = run(*movies, "--json")
    assert "evaluate: 4/4" in found.stderr
    json.loads(found.stdout)


def test_frames_and_thresholds_are_obeyed(movies: tuple[Path, Path]) -> None:
    values = json.loads(run(*movies, "--json", "--frames", "2:", "--iou", 0.75).stdout)
    assert [row["t"] for row in values["frames"]] == [2, 3]
    assert (values["iou_threshold"], values["f1"]) == (0.75, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "3"], "not a range"),
        (["--frames", "3:1"], "not a range"),
        (["--frames", "7:9"], "No frame"),
        (["--iou", "2"], "not in the range 0<=x<=1"),
        (["--spacing", "1,2"], "Expected Z,Y,X in micrometres"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(movies: tuple[Path, Path], arguments: list[str], words: str) -> None:
    found = run(*movies, *arguments)
    assert found.exit_code == 2
    assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_pages_may_be_frames(tmp_path: Path) -> None:
    frames = np.zeros((5, 20, 20), np.uint16)
    frames[:, 4:9, 4:9] = 1
    tifffile.imwrite(tmp_path / "plain.tif", frames)
    counts = [
        len(json.loads(run(tmp_path / "plain.tif", tmp_path / "plain.tif", *axes, "--json").stdout)["frames"])
        for axes in ((), ("--axes", "TYX"))
    ]
    assert counts == [1, 5]


def test_absent_input_is_one_line_and_exit_2(tmp_path: Path) -> None:
    found = run(tmp_path / "a.tif", tmp_path / "b.tif")
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)


@pytest.fixture
def embryo(data: Path) -> np.ndarray[Any, Any]:
    """Truth of a real embryo of some fifty nuclei, shape (51, y, x)."""
    return tifffile.imread(data / "bbbc050/GroundTruth/train/GroundTruth_QCANet/Emb01_t501.tif")


def test_real_embryo_against_itself_shifted_and_grown(embryo: np.ndarray[Any, Any]) -> None:
    same = evaluate(embryo, embryo, spacing_um=EMBRYO_UM)
    shifted = evaluate(np.roll(embryo, 1, axis=2), embryo, spacing_um=EMBRYO_UM)
    grown = evaluate(grey_dilation(embryo, size=(1, 3, 3)), embryo, spacing_um=EMBRYO_UM)
    assert (same.pooled.seg, same.pooled.pq, same.volume_bias) == (1, 1, 0)
    for worse in (shifted, grown):
        assert 0.6 < (worse.pooled.seg or 0) < 0.95
        assert worse.detection is not None
        assert worse.detection.f1 == 1
        assert worse.misses == 0
    assert shifted.volume_bias == pytest.approx(0, abs=0.01)
    assert 0.1 < (grown.volume_bias or 0) < 0.4


def test_real_frames_of_unequal_shape_are_one_folder(data: Path) -> None:
    folder = data / "bbbc050/GroundTruth/train/GroundTruth_QCANet"
    values = json.loads(run(folder, folder, "--json", "--frames", "0:4").stdout)
    assert (values["n_frames"], values["pq"], values["pooled"]["seg"]) == (4, 1, 1)
    assert "The result and the truth are the same labels." in values["notes"]
