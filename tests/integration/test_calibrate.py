"""`tlseg models calibrate` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from handmade import bright_balls, save_threshold_model
from tlseg.cli.models import command
from tlseg.models.bundle import load_model

SHAPE = (16, 40, 40)
CENTRES = np.array([[7, 11, 12], [8, 27, 26]])
SPACING = (1.6, 0.8, 0.8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two embryos of one stack each; the truth begins at brighter voxels than the model's threshold of 0.5."""
    folder = tmp_path / "pairs"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    place = np.stack(np.indices(SHAPE), axis=-1) * np.array(SPACING)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for number, centre in enumerate(CENTRES, start=1):
        labels[np.linalg.norm(place - centre * np.array(SPACING), axis=-1) < 4.5] = number
    for seed, stack in enumerate(("A_t000", "B_t000")):
        tifffile.imwrite(folder / "images" / f"{stack}.tif", bright_balls(SHAPE, CENTRES, seed=seed))
        tifffile.imwrite(folder / "labels" / f"{stack}.tif", labels)
    return folder


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["calibrate", *(str(a) for a in arguments)])


def test_a_model_gets_the_settings_that_fit_and_keeps_its_weights(data: Path, tmp_path: Path) -> None:
    before = save_threshold_model(tmp_path / "model", region_threshold=0.2)
    options = ("--groups", " B", "--spacing", "1.6,0.8,0.8", "--device", "cpu", "--json")
    result = calibrate(before.folder, data, "--out", tmp_path / "better", *options)
    assert result.exit_code == 0, result.output
    after = load_model(tmp_path / "better")
    said = json.loads(result.stdout[result.stdout.index("{") :])
    assert said["digest"] == after.digest != before.digest
    assert said["changed"]["region_threshold"] == [0.2, after.spec.region_threshold]
    assert after.spec.region_threshold > 0.2
    for role in ("nsn", "ndn"):
        file = before.spec.networks[role].file
        assert (after.folder / file).read_bytes() == (before.folder / file).read_bytes()
    chosen = after.spec.provenance["calibration"]
    assert chosen["frames"] == ["B_t000"]
    assert chosen["after"]["iou"] > chosen["before"]["iou"]
    assert abs(chosen["after"]["volume_bias"]) < abs(chosen["before"]["volume_bias"])


def test_bad_input_is_one_line(data: Path, tmp_path: Path) -> None:
    model = save_threshold_model(tmp_path / "model").folder
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    spacing = ("--spacing", "1.6,0.8,0.8", "--device", "cpu")
    for arguments, named in [
        ((model, data, "--out", taken, *spacing), "already"),
        ((model, data, "--out", tmp_path / "new", "--groups", "C", *spacing), "no group C; it has A, B"),
        ((tmp_path / "nothing", data, "--out", tmp_path / "new", *spacing), "No model"),
    ]:
        result = calibrate(*arguments)
        assert result.exit_code == 2, result.output
        assert named in result.output
        assert "Traceback" not in result.output
    assert sorted(p.name for p in taken.iterdir()) == ["notes.txt"]
    assert not (tmp_path / "new").exists()


def test_settings_are_chosen_on_planes(data: Path, tmp_path: Path) -> None:
    for file in data.rglob("*.tif"):
        tifffile.imwrite(file, tifffile.imread(file)[7])
    model = save_threshold_model(tmp_path / "model", region_threshold=0.2)
    options = ("--groups", "B", "--spacing", "1,0.8,0.8", "--device", "cpu")
    result = calibrate(model.folder, data, "--out", tmp_path / "better", *options)
    assert result.exit_code == 0, result.output
    assert load_model(tmp_path / "better").spec.region_threshold > 0.2
