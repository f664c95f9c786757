"""`tlseg train` as a person calls it."""

from __future__ import annotations

import csv
import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result

from tlseg.cli.train import command
from tlseg.models.unet import NSN, UNet

SHAPE = (12, 28, 26)
QUICK = ["--base", "1", "--crop", "8,16,16", "--batch", "1", "--precision", "float32", "--device", "cpu"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two embryos of one stack each, as a person would lay them out."""
    folder = tmp_path / "pairs"
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for stack in ("Emb01_t001", "Emb11_t001"):
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[2:8, 3:12, 4:13] = 1
        labels[4:10, 13:24, 12:23] = 2
        image = 100 + 80 * (labels > 0) + rng.normal(0, 5, SHAPE)
        tifffile.imwrite(folder / "images" / f"{stack}.tif", image.astype(np.uint16))
        tifffile.imwrite(folder / "labels" / f"{stack}.tif", labels)
    return folder


# Until click 8.2 standard error was part of the output unless told otherwise.
SEPARATE = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def train(*arguments: object) -> Result:
    return CliRunner(**SEPARATE).invoke(command, [str(a) for a in arguments])


def one_line(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    return result.stderr


@pytest.mark.parametrize("network", ["nsn", "ndn"])
def test_training_leaves_weights_a_checkpoint_and_a_log(pairs: Path, tmp_path: Path, network: str) -> None:
    out = tmp_path / "out"
    result = train(network, pairs, "--out", out, "--steps", 2, "--json", *QUICK, "--crop", "16,16,32")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer == {"weights": str(out / "best.pt"), "pairs": 1, "validation_frames": 1}
    if network == "nsn":
        UNet(replace(NSN, base=1)).load_state_dict(torch.load(out / "best.pt", weights_only=True))
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert [r["step"] for r in rows] == ["1", "2"]
    assert 0 <= float(rows[-1]["score"]) <= 1


def test_a_second_start_finds_the_work_done(pairs: Path, tmp_path: Path) -> None:
    arguments = ("nsn", pairs, "--out", tmp_path / "out", "--steps", 2, *QUICK)
    assert train(*arguments).exit_code == 0
    before = (tmp_path / "out" / "last.pt").read_bytes()
    result = train(*arguments)
    assert result.exit_code == 0
    assert "best.pt" in result.stdout
    assert (tmp_path / "out" / "last.pt").read_bytes() == before
    assert "other settings" in one_line(train(*arguments, "--rate", 0.5))


def test_data_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    text = one_line(train("nsn", tmp_path / "nowhere", "--out", tmp_path / "out", *QUICK))
    assert "holds no training pairs" in text
    assert "images/*.tif" in text
    assert not (tmp_path / "out").exists()


def test_images_without_labels_are_one_line(pairs: Path, tmp_path: Path) -> None:
    (pairs / "labels" / "Emb01_t001.tif").unlink()
    assert "Emb01_t001" in one_line(train("nsn", pairs, "--out", tmp_path / "out", *QUICK))


def test_a_damaged_stack_is_one_line(pairs: Path, tmp_path: Path) -> None:
    (pairs / "images" / "Emb01_t001.tif").write_bytes(b"not a picture")
    assert "Emb01_t001.tif cannot be read" in one_line(train("nsn", pairs, "--out", tmp_path / "out", *QUICK))


def test_an_unknown_loss_is_one_line(pairs: Path, tmp_path: Path) -> None:
    text = one_line(train("nsn", pairs, "--out", tmp_path / "out", "--loss", "hinge", *QUICK))
    assert "Unknown loss 'hinge'" in text


def test_a_crop_the_network_cannot_halve_is_one_line(pairs: Path, tmp_path: Path) -> None:
    result = train("nsn", pairs, "--out", tmp_path / "out", "--base", 1, "--crop", "8,15,16", "--device", "cpu")
    assert "multiple of 4" in one_line(result)


def test_a_crop_that_leaves_nothing_to_normalise_is_one_line(pairs: Path, tmp_path: Path) -> None:
    text = one_line(train("ndn", pairs, "--out", tmp_path / "out", *QUICK, "--crop", "16,16,16"))
    assert "larger --crop or --batch" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("held", ["Emb01,Emb11", "Emb05"])
def test_nothing_to_learn_from_or_to_judge_by_is_one_line(pairs: Path, tmp_path: Path, held: str) -> None:
    text = one_line(train("nsn", pairs, "--out", tmp_path / "out", "--steps", 1, "--hold-out", held, *QUICK))
    assert "--hold-out" in text
