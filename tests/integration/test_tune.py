"""`tlseg tune` as a user calls it: tiny trainings on tiny stacks."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from click.testing import CliRunner, Result

from tlseg.cli import train, tune
from tlseg.errors import TrainingError
from tlseg.train.request import TrainRequest
from tlseg.train.space import read_space
from tlseg.train.trainings import Trainings
from tlseg.train.tune import tune as search_settings

SHAPE = (12, 28, 26)
CONFIG = """
network = "nsn"
hold_out = "Emb11"
steps = 4
validate_every = 2
base = 1
batch = 1
crop = [8, 16, 16]
precision = "float32"
device = "cpu"

[search]
rate = { low = 1e-3, high = 1e-1, log = true }
loss = ["bce", "bce+dice"]
"augment.noise" = [[0.0, 0.02], [0.0, 0.06]]
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for stack in ("Emb01_t001", "Emb11_t001"):
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[2:8, 3:12, 4:13] = 1
        image = 100 + 80 * (labels > 0) + rng.normal(0, 5, SHAPE)
        tifffile.imwrite(folder / "images" / f"{stack}.tif", image.astype(np.uint16))
        tifffile.imwrite(folder / "labels" / f"{stack}.tif", labels)
    return folder


def search(pairs: Path, tmp_path: Path, config: str, *options: str) -> Result:
    path = tmp_path / "space.toml"
    path.write_text(config)
    given = [str(pairs), "--out", str(tmp_path / "out"), "--config", str(path), *options]
    return CliRunner().invoke(tune.command, given)


def test_the_best_settings_are_a_configuration_to_train_with(pairs: Path, tmp_path: Path) -> None:
    config = CONFIG.replace("[search]", "spacing = [1.6, 0.8, 0.8]\n[search]")
    result = search(pairs, tmp_path, config, "--trials", "2", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout[result.stdout.index("{\n") :])
    out = tmp_path / "out"
    best = yaml.safe_load((out / "best.yaml").read_text())
    assert best["rate"] == said["best"]["values"]["rate"]
    assert best["augment"]["noise"] == said["best"]["values"]["augment.noise"]
    assert len(list(csv.DictReader((out / "trials.csv").read_text().splitlines()))) == 2
    for made in ("study.db", "study.png", "trial-0000/best.pt", "trial-0001/config.yaml"):
        assert (out / made).is_file()
    again = ["nsn", str(pairs), "--out", str(tmp_path / "again"), "--config", str(out / "best.yaml"), "--json"]
    trained = CliRunner().invoke(train.command, again)
    assert trained.exit_code == 0, trained.output
    scores = [row["score"] for row in csv.DictReader((tmp_path / "again/log.csv").read_text().splitlines())]
    assert max(float(s) for s in scores if s) == pytest.approx(said["best"]["score"], abs=1e-4)


def test_a_search_from_python(pairs: Path, tmp_path: Path) -> None:
    """A training is requested with a plain value, and a search needs no command line."""
    choices = {"steps": 2, "validate_every": 1, "base": 1, "batch": 1, "crop": (8, 16, 16), "precision": "float32"}
    request = TrainRequest(network="nsn", choices=choices, spacing_um=(1.6, 0.8, 0.8), hold_out=("Emb11",))

    def ask(values: Mapping[str, Any], _folder: Path) -> TrainRequest:
        return replace(request, choices={**choices, **values})

    space = read_space({"rate": [1e-2]})
    trainings = Trainings(ask, pairs, tmp_path / "out", lambda _name, _steps: nullcontext(lambda _progress: None))
    with pytest.raises(TrainingError, match=r"did you mean noise\?"):
        trainings.check(read_space({"augment": [{"nois": [0, 0.1]}]}))
    trainings.check(space)
    (tried,) = search_settings(space, trainings.run, out=tmp_path / "out", trials=1, fixed={})
    assert (tried.outcome, tried.values) == ("finished", {"rate": 1e-2})
    assert (tmp_path / "out" / tried.folder / "best.pt").is_file()
    with pytest.raises(TrainingError, match="each says what is held out"):
        replace(request, fold=1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[search]", "[seek]"), "[search]"),
        (("rate =", "rats ="), "space.toml has a key 'rats' that is not a setting: did you mean rate?"),
        (("augment.noise", "augment.nois"), "key 'augment.nois' that is not a setting: did you mean augment.noise?"),
        (("[0.0, 0.06]]", "0.06]"), "The augmentation noise is 0.06; expected two numbers."),
        (("[0.0, 0.06]]", "[0.06, 0.0]]"), "noise is (0.06, 0.0); expected"),
        (('["bce", "bce+dice"]', "[]"), "loss"),
        (("base = 1", 'base = "wide"'), "space.toml: Invalid value for '--base'"),
        (('hold_out = "Emb11"', 'hold_out = "none"'), "hold_out"),
        (('hold_out = "Emb11"', 'hold_out = "Emb99"'), "Emb99"),
        (('"nsn"', '"nnn"'), "space.toml: Invalid value for"),
        (("low = 1e-3, high = 1e-1, log = true", "low = -1, high = 1"), "space.toml: Invalid value for '--rate': -1"),
        (("[search]", "augment = 3\n[search]"), "space.toml: augment is 3; expected a table"),
    ],
)
def test_bad_input_stops_before_any_training(pairs: Path, tmp_path: Path, change: tuple[str, str], named: str) -> None:
    config = CONFIG.replace("[search]", "spacing = [1.6, 0.8, 0.8]\n[search]")
    result = search(pairs, tmp_path, config.replace(*change), "--trials", "1")
    assert result.exit_code == 2, result.output
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert named in line
    assert not list((tmp_path / "out").glob("*/last.pt"))
