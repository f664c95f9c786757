"""Training: interrupted or not, the same weights."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from tlseg.errors import TrainingError
from tlseg.models.unet import UNet, UNetConfig
from tlseg.store.stacks import find_pairs
from tlseg.train import loop
from tlseg.train.loop import Progress, TrainSettings, learning_rate, train
from tlseg.train.samples import Pair, SampleSettings, load_pair

SETTINGS = TrainSettings(
    architecture=UNetConfig(levels=2, kernel=3, base=2),
    target="mask",
    steps=9,
    batch=2,
    warmup=2,
    precision="float32",
    save_every=4,
    validate_every=3,
    samples=SampleSettings(crop=(8, 16, 16)),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for stack in ("Emb01_t1", "Emb02_t1"):
        labels = np.zeros((12, 24, 26), dtype=np.uint8)
        labels[2:8, 3:12, 4:13] = 1
        labels[4:10, 13:21, 12:23] = 2
        image = 100 + 80 * (labels > 0) + rng.normal(0, 5, labels.shape)
        tifffile.imwrite(folder / "images" / f"{stack}.tif", image.astype(np.uint16))
        tifffile.imwrite(folder / "labels" / f"{stack}.tif", labels)
    return [load_pair(p, target="mask", spacing_um=(1.75, 0.8, 0.8)) for p in find_pairs(folder)]


class Interrupted(Exception):
    """Somebody stopped the training."""


def run(
    pairs: list[Pair], out: Path, settings: TrainSettings = SETTINGS, *, stop_after: int | None = None
) -> list[Progress]:
    """Train, perhaps until somebody stops it after a step."""
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if progress.step == stop_after:
            raise Interrupted

    def score(network: UNet) -> float:
        return float(sum(p.detach().abs().sum() for p in network.parameters()))

    try:
        best = train(pairs, settings, out=out, validate=score, report=report)
        assert best == out / "best.pt"
    except Interrupted:
        assert stop_after is not None
    return seen


def state(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def log(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def uninterrupted(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    run(pairs, out)
    return out


@pytest.mark.parametrize("stops", [(4,), (6,), (2, 5), (8,)], ids=str)
def test_resumed_equals_uninterrupted(
    pairs: list[Pair], uninterrupted: Path, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    for stop in stops:
        run(pairs, tmp_path, stop_after=stop)
        torch.manual_seed(12345)
    seen = run(pairs, tmp_path)
    # It went on from the last checkpoint, not from the beginning.
    assert seen[0].step == stops[-1] // SETTINGS.save_every * SETTINGS.save_every + 1
    for file in ("last.pt", "best.pt"):
        before, after = state(uninterrupted / file), state(tmp_path / file)
        before, after = before.get("network", before), after.get("network", after)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[k], after[k]) for k in before), file
    assert log(tmp_path) == log(uninterrupted)


def test_training_changes_weights(uninterrupted: Path) -> None:
    torch.manual_seed(SETTINGS.seed)
    start, end = UNet(SETTINGS.architecture).state_dict(), state(uninterrupted / "last.pt")["network"]
    assert not torch.equal(start["head.weight"], end["head.weight"])
    assert end["encoder.0.1.num_batches_tracked"] == SETTINGS.steps


def test_the_log_has_every_step_once(uninterrupted: Path) -> None:
    rows = log(uninterrupted)
    assert [int(r["step"]) for r in rows] == list(range(1, 10))
    assert [int(r["step"]) for r in rows if r["score"]] == [3, 6, 9]


def test_a_log_cut_by_a_kill_is_mended(pairs: list[Pair], uninterrupted: Path, tmp_path: Path) -> None:
    run(pairs, tmp_path, stop_after=6)
    text = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(text[:-4])
    run(pairs, tmp_path)
    assert log(tmp_path) == log(uninterrupted)


def test_a_training_without_a_checkpoint_begins_its_log_anew(
    pairs: list[Pair], uninterrupted: Path, tmp_path: Path
) -> None:
    run(pairs, tmp_path, stop_after=3)
    assert not (tmp_path / "last.pt").exists()
    run(pairs, tmp_path)
    assert log(tmp_path) == log(uninterrupted)


def test_a_finished_training_stays_as_it_is(pairs: list[Pair], uninterrupted: Path) -> None:
    before = (uninterrupted / "last.pt").read_bytes(), log(uninterrupted)
    assert run(pairs, uninterrupted) == []
    assert ((uninterrupted / "last.pt").read_bytes(), log(uninterrupted)) == before


@pytest.mark.parametrize(
    "change", [{"rate": 2e-3}, {"batch": 1}, {"seed": 1}, {"samples": SampleSettings(crop=(8, 8, 8))}]
)
def test_other_settings_are_another_training(pairs: list[Pair], uninterrupted: Path, change: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"other settings\. Choose another --out") as caught:
        run(pairs, uninterrupted, replace(SETTINGS, **change))
    assert "\n" not in str(caught.value)


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="training set is empty"):
        run([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_gradients_that_are_no_numbers_are_skipped_and_counted(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loop.loss_of(SETTINGS.loss)
    calls = 0

    def sometimes_broken(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return made(logits, target) * (math.nan if calls in (2, 3) else 1)

    monkeypatch.setattr(loop, "loss_of", lambda _: sometimes_broken)
    seen = run(pairs, tmp_path, replace(SETTINGS, steps=5))
    assert [p.skipped for p in seen] == [0, 1, 2, 2, 2]
    assert [math.isnan(p.loss) for p in seen] == [False, True, True, False, False]
    last = state(tmp_path / "last.pt")
    assert last["skipped"] == 2
    assert all(bool(torch.isfinite(v).all()) for v in last["network"].values())


def test_the_best_weights_are_kept(pairs: list[Pair], tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, 0.5])
    kept: list[dict[str, torch.Tensor]] = []

    def score(network: UNet) -> float:
        assert not network.training
        kept.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(scores)

    seen: list[Progress] = []
    train(pairs, SETTINGS, out=tmp_path, validate=score, report=seen.append)
    best = state(tmp_path / "best.pt")
    assert all(torch.equal(best[k], kept[1][k]) for k in best)
    assert [p.best for p in seen] == [None] * 2 + [0.2] * 3 + [0.9] * 4


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_and_precision_runs(pairs: list[Pair], tmp_path: Path, optimizer: Any) -> None:
    seen = run(pairs, tmp_path, replace(SETTINGS, steps=2, optimizer=optimizer, precision="bfloat16"))
    assert all(math.isfinite(p.loss) for p in seen)


def test_the_learning_rate_rises_and_falls() -> None:
    settings = replace(SETTINGS, steps=100, warmup=10, rate=0.5)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[10] == pytest.approx(0.5) == max(rates)
    assert rates[55] == pytest.approx(0.25)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
