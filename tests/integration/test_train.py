"""`tlseg train` as a user calls it."""

from __future__ import annotations

import csv
import inspect
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result

from tlseg.cli.train import command
from tlseg.errors import ModelError
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.pack import pack
from tlseg.models.unet import NDN, NSN, UNet
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings

SHAPE = (12, 28, 26)
QUICK = [
    *("--base", "1", "--crop", "8,16,16", "--batch", "1", "--precision", "float32", "--device", "cpu"),
    *("--spacing", "1.75,0.8,0.8"),
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two embryos of one stack each, in a usual layout."""
    folder = tmp_path / "pairs"
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for stack in ("Emb01_t001", "Emb02_t001", "Emb11_t001"):
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
    assert answer == {"weights": str(out / "best.pt"), "pairs": 2, "validation_frames": 1, "held_out": ["Emb11"]}
    best = read_checkpoint(out / "best.pt")
    assert best.architecture == replace(NSN if network == "nsn" else NDN, base=1)
    UNet(best.architecture).load_state_dict(best.weights)
    assert (out / "curves.png").is_file()
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert [r["step"] for r in rows] == ["1", "2"]
    assert 0 <= float(rows[-1]["score"]) <= 1


@pytest.mark.parametrize("network", ["nsn", "ndn"])
@pytest.mark.parametrize("layout", ["tiffs", "movie"])
def test_planes_teach_as_stacks_do(pairs: Path, tmp_path: Path, network: str, layout: str) -> None:
    if layout == "movie":
        pairs = tmp_path / "movies"
        for seed in range(2):
            simulate(pairs / f"embryo{seed}.ome.zarr", SimulationSettings(shape=(1, 64, 64), frames=2, seed=seed))
    for file in pairs.rglob("*.tif"):
        tifffile.imwrite(file, tifffile.imread(file)[6])
    held_out = "Emb11" if layout == "tiffs" else "embryo1"
    result = train(
        network, pairs, "--out", tmp_path / "out", "--steps", 2, *QUICK, "--crop", "16,16,32", "--hold-out", held_out
    )
    assert result.exit_code == 0, result.stderr
    score = float(list(csv.DictReader((tmp_path / "out/log.csv").read_text().splitlines()))[-1]["score"])
    assert 0 <= score <= 1


def test_a_second_start_finds_the_work_done(pairs: Path, tmp_path: Path) -> None:
    arguments = ("nsn", pairs, "--out", tmp_path / "out", "--steps", 2, *QUICK)
    first = train(*arguments)
    assert first.exit_code == 0
    before = (tmp_path / "out" / "last.pt").read_bytes()
    result = train(*arguments)
    assert result.exit_code == 0
    assert result.stdout == f"Already complete at step 2; nothing was done.\n{first.stdout}"
    assert (tmp_path / "out" / "last.pt").read_bytes() == before
    assert "other settings: rate was 0.001 and is 0.5" in one_line(train(*arguments, "--rate", 0.5))


@pytest.mark.slow
def test_while_it_runs_another_start_is_refused_and_once_killed_it_goes_on(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    options = ["--out", out, "--steps", 60, "--save-every", 1, *QUICK, "--folds", "Emb11"]
    command = [sys.executable, "-m", "tlseg", "train", "nsn", pairs, *options]
    with subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 120
            while not (out / "Emb11/last.pt").exists():
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.01)
            process.send_signal(signal.SIGSTOP)
            refused = train("nsn", pairs, *options)
        finally:
            process.kill()
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert f"Error: Another run is writing to {out / 'Emb11'} (process {process.pid} " in refused.stderr
    done = int(read_checkpoint(out / "Emb11/last.pt").facts["step"])
    assert 0 < done < 60
    result = train("nsn", pairs, *options)
    assert result.exit_code == 0, result.stderr
    rows = [row["step"] for row in csv.DictReader((out / "Emb11/log.csv").read_text().splitlines())]
    assert rows == [str(step) for step in range(1, 61)]


@pytest.mark.slow
def test_two_processes_share_a_training_and_one_lock(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["nsn", pairs, "--out", out, "--steps", 3, *QUICK]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "tlseg"]
    command = [str(part) for part in [*torchrun, "train", *options]]
    for _ in range(2):  # the second start finds the work done
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("Best weights") == 1
        assert not (out / "run.lock").exists()
    assert "another number of processes" in one_line(train(*options))


def test_a_url_is_no_folder_to_train_into(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = train("nsn", pairs, "--out", "s3://bucket/out", *QUICK)
    assert result.exit_code == 2
    assert "'s3://bucket/out' is a URL; give a local path" in result.stderr
    assert not list(tmp_path.glob("s3*"))


def test_data_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    text = one_line(train("nsn", tmp_path / "nowhere", "--out", tmp_path / "out", *QUICK))
    assert "nowhere does not exist" in text
    (tmp_path / "empty").mkdir()
    text = one_line(train("nsn", tmp_path / "empty", "--out", tmp_path / "out", *QUICK))
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


@pytest.mark.parametrize("held", ["Emb01,Emb02,Emb11", "Emb05"])
def test_nothing_to_learn_from_or_to_judge_by_is_one_line(pairs: Path, tmp_path: Path, held: str) -> None:
    text = one_line(train("nsn", pairs, "--out", tmp_path / "out", "--steps", 1, "--hold-out", held, *QUICK))
    assert "--hold-out" in text


def test_a_spacing_that_is_not_known_is_one_line(pairs: Path, tmp_path: Path) -> None:
    text = one_line(train("nsn", pairs, "--out", tmp_path / "out", *QUICK[:-2]))
    assert "Emb01_t001.tif does not give its voxel size" in text
    assert "--spacing Z,Y,X" in text


def test_folds_leave_one_group_out_and_go_on_where_they_were(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("nsn", pairs, "--out", out, "--steps", 2, *QUICK, "--json", "--folds")
    some = train(*arguments, "Emb11,Emb01")
    assert some.exit_code == 0, some.stderr
    before = {p: p.read_bytes() for p in out.glob("*/last.pt")}
    assert [p.parent.name for p in sorted(before)] == ["Emb01", "Emb11"]
    result = train(*arguments, "all")
    assert result.exit_code == 0, result.stderr
    assert {p: p.read_bytes() for p in before} == before
    again = train(*(word for word in arguments if word != "--json"), "all")
    assert again.stdout.startswith("Already complete at step 2; nothing was done.\nEmb01: ")
    folds = json.loads((out / "folds.json").read_text())
    assert folds["folds"] == json.loads(result.stdout)["folds"]
    assert [(f["group"], f["pairs"], f["frames"]) for f in folds["folds"]] == [
        ("Emb01", 2, 1),
        ("Emb02", 2, 1),
        ("Emb11", 2, 1),
    ]
    assert folds["mean"] == pytest.approx(np.mean([f["score"] for f in folds["folds"]]))
    rows = list(csv.DictReader((out / "folds.csv").read_text().splitlines()))
    assert [float(r["score"]) for r in rows] == [f["score"] for f in folds["folds"]]
    alone = train("nsn", pairs, "--out", tmp_path / "alone", "--steps", 2, *QUICK, "--fold", 2)
    assert alone.exit_code == 0, alone.stderr
    mine, theirs = (read_checkpoint(p / "best.pt").weights for p in (tmp_path / "alone", out / "Emb02"))
    assert all(torch.equal(mine[k], theirs[k]) for k in theirs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--grid", "0.0016,0.0008,0.0008"],
            "0.0016, 0.0008, 0.0008) um: they differ by a factor of 1.09e+03, and at most 50 is possible",
        ),
        (["--spacing", "1750,800,800"], "Check --spacing"),
        (["--fold", 4], "3 groups make folds 1 to 3"),
        (["--folds", "Emb01,Emb07"], "no group 'Emb07' (--folds); there are Emb01, Emb02, Emb11"),
        (["--fold", 1, "--folds", "all"], "one of --hold-out, --fold and --folds"),
        (["--target", "ball"], "nsn learns the mask"),
        (["--loss", "ce"], "--output softmax"),
        (["--init", "embryo"], "its base is 16, this training's 1 (--base)"),
    ],
)
def test_choices_that_make_no_sense_are_one_line(pairs: Path, tmp_path: Path, options: list[object], said: str) -> None:
    assert said in one_line(train("nsn", pairs, "--out", tmp_path / "out", *QUICK, *options))


def test_a_file_says_what_the_command_line_does_not(pairs: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'out = "ignored"\nsteps = 1\nbase = 1\ncrop = [8, 16, 16]\nbatch = 1\nprecision = "float32"\ndevice = "cpu"\n'
        'hold-out = ["Emb01", "Emb02"]\nspacing = "1.75,0.8,0.8"\nno-skip = true\nweight_decay = 0.5\n'
        "[augment]\nzoom = [1, 1]\ncoarse_z = 0\n"
    )
    out = tmp_path / "out"
    result = train("nsn", pairs, "--config", recipe, "--out", out, "--rate", 0.25, "--steps", 2, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["held_out"] == ["Emb01", "Emb02"]
    settings = torch.load(out / "last.pt", weights_only=True)["settings"]
    assert {k: settings[k] for k in ("steps", "rate", "weight_decay", "batch")} == {
        "steps": 2,
        "rate": 0.25,
        "weight_decay": 0.5,
        "batch": 1,
    }
    assert settings["samples"]["zoom"] == (1.0, 1.0)
    assert settings["architecture"]["skip"] is False


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "setps = 3", "a key 'setps' that is not a setting: did you mean steps?"),
        ("a.yaml", "hold-ot: Emb01", "did you mean hold_out?"),
        ("a.yaml", "- 1\n- 2", "holds a value of type list"),
        ("a.toml", "steps = ", "cannot be read as a configuration"),
        ("a.ini", "steps = 3", "neither .toml nor .yaml"),
        (
            "a.toml",
            "[augment]\nzom = [1, 1]",
            "a.toml has a key 'augment.zom' that is not a setting: did you mean augment.zoom?",
        ),
    ],
)
def test_a_file_that_cannot_be_meant_is_one_line(pairs: Path, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    result = train("nsn", pairs, "--out", tmp_path / "out", "--config", tmp_path / name, "--spacing", "2,1,1")
    assert said in one_line(result)
    nowhere = train("nsn", pairs, "--out", tmp_path / "out", "--config", tmp_path / "b.toml")
    assert "b.toml does not exist" in one_line(nowhere)


def test_a_date_is_no_setting(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("rate = 2020-01-01\n")
    result = train("nsn", pairs, "--out", tmp_path / "out", "--config", tmp_path / "a.toml")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "Error: Invalid value for '--rate': '2020-01-01' is not a valid float range.",
    )


def test_fine_tuning_goes_on_from_a_checkpoint_and_from_a_model(pairs: Path, tmp_path: Path) -> None:
    crop = ("--crop", "16,16,32")
    for network in ("nsn", "ndn"):
        first = train(network, pairs, "--out", tmp_path / network, "--steps", 1, *QUICK, *crop)
        assert first.exit_code == 0, first.stderr
    pack(
        tmp_path / "model",
        name="mine",
        nsn=tmp_path / "nsn/best.pt",
        ndn=tmp_path / "ndn/last.pt",
        provenance={},
    )
    for number, start in enumerate((tmp_path / "nsn/best.pt", tmp_path / "model")):
        out = tmp_path / f"tuned{number}"
        result = train("nsn", pairs, "--out", out, "--steps", 1, *QUICK, "--init", start, "--rate", 1e-9)
        assert result.exit_code == 0, result.stderr
        tuned, before = read_checkpoint(out / "best.pt").weights, read_checkpoint(tmp_path / "nsn/best.pt").weights
        assert torch.allclose(tuned["head.weight"], before["head.weight"], atol=1e-3)
    assert "no network" not in one_line(train("nsn", pairs, "--out", tmp_path / "x", *QUICK, "--init", "nothing"))


def test_networks_of_different_grids_are_no_model(pairs: Path, tmp_path: Path) -> None:
    for name, network, grid in (("fine", "nsn", "1.6,0.8,0.8"), ("nsn", "nsn", "2,1,1"), ("ndn", "ndn", "2,1,1")):
        options = ("--steps", 1, *QUICK, "--hold-out", "none", "--grid", grid, "--crop", "16,16,32")
        result = train(network, pairs, "--out", tmp_path / name, *options)
        assert result.exit_code == 0, result.stderr
    ndn = tmp_path / "ndn/best.pt"
    with pytest.raises(ModelError, match="learned at different voxel spacings"):
        pack(tmp_path / "m", name="m", nsn=tmp_path / "fine/best.pt", ndn=ndn, provenance={})
    same = pack(tmp_path / "m", name="m", nsn=tmp_path / "nsn/last.pt", ndn=ndn, provenance={})
    assert same.spec.spacing_um == (2.0, 1.0, 1.0)


def test_training_without_its_extra_names_it(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlseg.cli.train.EXTRA", ("a_package_nobody_has",))
    assert "[train]'" in one_line(train("nsn", pairs, "--out", tmp_path / "out", *QUICK))


@pytest.mark.parametrize("options", [["--output", "softmax", "--loss", "ce+dice"], ["--activation", "sigmoid"]])
def test_ablations_train(pairs: Path, tmp_path: Path, options: list[str]) -> None:
    result = train("unet3d", pairs, "--out", tmp_path / "out", "--steps", 1, *QUICK, "--crop", "16,16,16", *options)
    assert result.exit_code == 0, result.stderr


def test_nothing_held_out_is_trained_on_everything(pairs: Path, tmp_path: Path) -> None:
    result = train("nsn", pairs, "--out", tmp_path / "out", "--steps", 1, *QUICK, "--hold-out", "none", "--json")
    assert json.loads(result.stdout) == {
        "weights": str(tmp_path / "out/best.pt"),
        "pairs": 3,
        "validation_frames": 0,
        "held_out": [],
    }
