"""Training: interrupted or not, the same weights."""

from __future__ import annotations

import csv
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from tlseg.errors import ModelError, RunError, TrainingError
from tlseg.models.bundle import ModelSpec
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.unet import UNet, UNetConfig
from tlseg.store.labels.pairs import find_pairs
from tlseg.store.locks import lock
from tlseg.train import trainee, validate
from tlseg.train.logs import Curves, draw_curves
from tlseg.train.loop import MOST_SKIPPED, Progress, train
from tlseg.train.recipe import recipe
from tlseg.train.samples import Pair, load_pair
from tlseg.train.settings import SampleSettings, TrainSettings, learning_rate

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
    """Networks this small are slower with more threads."""
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
    paths = find_pairs(folder, spacing_um=(1.75, 0.8, 0.8))
    return [load_pair(p, target="mask", grid_um=(1.6, 0.8, 0.8)) for p in paths]


class Interrupted(Exception):
    """The training was stopped by its user."""


def run(
    pairs: list[Pair], out: Path, settings: TrainSettings = SETTINGS, *, stop_after: int | None = None
) -> list[Progress]:
    """Train, or stop as its user would after a given step."""
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


def same(a: Any, b: Any) -> bool:
    """Whether two checkpoints hold the same bits."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


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
        for part in {"network", "averaged", "optimizer"} & before.keys():
            assert same(before.pop(part), after.pop(part)), (file, part)
        assert before == after
    assert log(tmp_path) == log(uninterrupted)


def test_a_second_training_in_one_folder_is_refused(pairs: list[Pair], uninterrupted: Path, tmp_path: Path) -> None:
    refused = []

    def report(progress: Progress) -> None:
        if progress.step == 5:
            with pytest.raises(RunError, match=r"Another run is writing to .*write elsewhere") as caught:
                run(pairs, tmp_path)
            refused.append(caught.value)

    train(pairs, SETTINGS, out=tmp_path, validate=None, report=report)
    assert refused
    assert not (tmp_path / "run.lock").exists()
    assert same(state(tmp_path / "last.pt")["network"], state(uninterrupted / "last.pt")["network"])


def test_a_training_whose_folder_was_taken_stops(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.01)

    def report(progress: Progress) -> None:
        shutil.rmtree(tmp_path / "run.lock")
        time.sleep(0.5)

    with pytest.raises(RunError, match="This one stops"):
        train(pairs, SETTINGS, out=tmp_path, validate=None, report=report)
    assert [row["step"] for row in log(tmp_path)] == ["1"]


def test_training_changes_weights(uninterrupted: Path) -> None:
    torch.manual_seed(SETTINGS.seed)
    start, end = UNet(SETTINGS.architecture).state_dict(), state(uninterrupted / "last.pt")["network"]
    assert not torch.equal(start["head.weight"], end["head.weight"])
    assert end["encoder.0.1.num_batches_tracked"] == SETTINGS.steps


def test_a_launcher_decides_devices_and_no_number_formats(
    pairs: list[Pair], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    AcceleratorState._reset_state()  # what the processes before were told stays otherwise
    run(pairs, tmp_path / "launched")
    assert same(state(tmp_path / "launched" / "last.pt"), state(uninterrupted / "last.pt"))


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
    ("change", "what"),
    [
        ({"rate": 2e-3}, "rate was 0.001 and is 0.002"),
        ({"batch": 1}, "batch was 2 and is 1"),
        ({"samples": SampleSettings(crop=(8, 8, 16))}, "samples.crop was [8, 16, 16] and is [8, 8, 16]"),
    ],
    ids=["rate", "batch", "crop"],
)
def test_other_settings_are_another_training(
    pairs: list[Pair], uninterrupted: Path, change: dict[str, Any], what: str
) -> None:
    with pytest.raises(TrainingError, match=re.escape(f"other settings: {what}. Choose another --out")) as caught:
        run(pairs, uninterrupted, replace(SETTINGS, **change))
    assert "\n" not in str(caught.value)


def test_other_data_are_another_training(pairs: list[Pair], uninterrupted: Path) -> None:
    other = pairs[0].image.clone()
    other[0, 0, 3, 3, 3] += 1
    with pytest.raises(TrainingError, match=r"on other data\. Choose another --out"):
        run([replace(pairs[0], image=other), *pairs[1:]], uninterrupted)
    with pytest.raises(TrainingError, match="on other data"):
        run(pairs[:1], uninterrupted)


def test_other_weights_to_start_from_are_another_training(pairs: list[Pair], uninterrupted: Path) -> None:
    start = UNet(SETTINGS.architecture).state_dict()
    with pytest.raises(TrainingError, match="from other weights"):
        train(pairs, SETTINGS, out=uninterrupted, validate=None, report=lambda _: None, start=start)


def test_a_training_starts_from_given_weights(pairs: list[Pair], tmp_path: Path) -> None:
    torch.manual_seed(5)
    start = UNet(SETTINGS.architecture).state_dict()
    still = replace(SETTINGS, steps=1, rate=1e-12, warmup=0)
    train(pairs, still, out=tmp_path, validate=None, report=lambda _: None, start=start)
    learned = read_checkpoint(tmp_path / "best.pt").weights
    assert all(torch.allclose(learned[k], start[k], atol=1e-6) for k in start if "running" not in k and "num" not in k)


def test_without_validation_the_last_average_is_kept(pairs: list[Pair], tmp_path: Path) -> None:
    train(pairs, replace(SETTINGS, steps=2), out=tmp_path, validate=None, report=lambda _: None)
    best, last = (read_checkpoint(tmp_path / f"{name}.pt") for name in ("best", "last"))
    assert best.facts["score"] is None
    assert same(dict(best.weights), dict(last.weights))
    assert not same(dict(best.weights), state(tmp_path / "last.pt")["network"])


def test_a_checkpoint_of_an_earlier_version_is_not_resumed(pairs: list[Pair], tmp_path: Path) -> None:
    torch.save({"settings": "TrainSettings(...)", "network": {}}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="another version of tlseg"):
        run(pairs, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"text"])
def test_a_damaged_checkpoint_is_named(pairs: list[Pair], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"last\.pt is damaged, .*Delete it to start over"):
        run(pairs, tmp_path)
    torch.save({"format": trainee.FORMAT, "settings": {}}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"last\.pt is damaged"):
        run(pairs, tmp_path)
    torch.save([1], tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="another version of tlseg"):
        run(pairs, tmp_path)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (PermissionError(13, "Permission denied"), TrainingError, r"last\.pt cannot be read"),
        (MemoryError(), RunError, "does not fit into memory"),
    ],
)
def test_what_only_cannot_be_read_now_is_not_called_damaged(
    pairs: list[Pair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[Exception],
    said: str,
) -> None:
    """A message that blamed the file wrongly would make people delete a training."""

    def load(*_: Any, **__: Any) -> None:
        raise error

    (tmp_path / "last.pt").touch()
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(kind, match=said):
        run(pairs, tmp_path)


@pytest.mark.parametrize("error", [RuntimeError("unexpected pos 64 vs 0"), OSError(28, "No space left on device")])
def test_a_full_disk_leaves_the_checkpoint_before(
    pairs: list[Pair], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    run(pairs, tmp_path, stop_after=4)
    saved = torch.save

    def full(state: dict[str, Any], path: Path) -> None:
        if state["step"] > 5:
            path.write_bytes(b"half")
            raise error
        saved(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(RunError, match=r"\.pt cannot be written .*Free space, then run the same command again"):
            run(pairs, tmp_path)
    assert not list(tmp_path.glob("*.part"))
    assert state(tmp_path / "last.pt")["step"] == 4
    run(pairs, tmp_path)
    assert log(tmp_path) == log(uninterrupted)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 TB")])
def test_memory_that_is_used_up_is_one_line(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def learn(*_: Any) -> float:
        raise error

    monkeypatch.setattr(trainee.Trainee, "learn", learn)
    with pytest.raises(RunError, match="smaller --crop, --batch or --base"):
        run(pairs, tmp_path)
    assert not (tmp_path / "run.lock").exists()


def test_a_training_without_usable_gradients_ends(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainee, "loss_of", lambda *_, **__: lambda logits, _: logits.sum() * math.nan)
    settings = replace(SETTINGS, steps=2 * MOST_SKIPPED, batch=1, save_every=1000, validate_every=1000)
    with pytest.raises(
        RunError, match=f"{MOST_SKIPPED} steps in a row, up to step {MOST_SKIPPED}, .*--precision float32"
    ):
        run(pairs, tmp_path, settings)


def test_logs_for_people(uninterrupted: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(uninterrupted / "tensorboard"))
    board.Reload()
    rows = log(uninterrupted)
    assert [e.step for e in board.Scalars("loss")] == [int(r["step"]) for r in rows]
    assert [e.value for e in board.Scalars("score")] == pytest.approx(
        [float(r["score"]) for r in rows if r["score"]], rel=1e-4
    )
    assert (uninterrupted / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_have_no_empty_panel(tmp_path: Path) -> None:
    """A training without held-out groups has no scores."""
    widths = []
    for score in (np.nan, 0.5):
        one = np.ones(2)
        draw_curves(Curves(np.arange(1.0, 3.0), one, one, one * score), tmp_path / "curves.png", score_name="IoU")
        with Image.open(tmp_path / "curves.png") as picture:
            widths.append(picture.width)
    assert widths[0] / widths[1] == pytest.approx(2 / 3, abs=0.01)


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="training set is empty"):
        run([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_gradients_that_are_no_numbers_are_skipped_and_counted(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainee.loss_of(SETTINGS.loss)
    calls = 0

    def sometimes_broken(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return made(logits, target) * (math.nan if calls in (2, 3) else 1)

    monkeypatch.setattr(trainee, "loss_of", lambda *_, **__: sometimes_broken)
    seen = run(pairs, tmp_path, replace(SETTINGS, steps=5))
    assert [p.skipped for p in seen] == [0, 1, 2, 2, 2]
    assert [math.isnan(p.loss) for p in seen] == [False, True, True, False, False]
    last = state(tmp_path / "last.pt")
    assert last["skipped"] == 2
    assert all(bool(torch.isfinite(v).all()) for v in last["network"].values())


def test_a_pass_without_numbers_spoils_no_statistics(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = trainee.batch

    def sometimes_broken(*arguments: Any, step: int, **others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = drawn(*arguments, step=step, **others)
        return images * (math.nan if step == 1 else 1), targets

    monkeypatch.setattr(trainee, "batch", sometimes_broken)
    seen = run(pairs, tmp_path, replace(SETTINGS, steps=3))
    assert [p.skipped for p in seen] == [0, 1, 1]
    assert math.isfinite(seen[-1].loss)
    learned = state(tmp_path / "last.pt")["network"]
    assert all(bool(torch.isfinite(v).all()) for v in learned.values())
    assert learned["encoder.0.1.num_batches_tracked"] == 2


def test_stacks_without_nuclei_have_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((4, 8, 8), np.uint16)
    labels[1:3, 2:6, 2:6] = 1
    full, empty = (validate.Frame(labels, truth, (1.0, 1.0, 1.0)) for truth in (labels, np.zeros_like(labels)))
    spec = ModelSpec("any", {}, (1.0, 1.0, 1.0))
    network = UNet(SETTINGS.architecture)
    monkeypatch.setattr(validate, "_maps", lambda _, frames, **__: [255 * (f.labels > 0).astype("u1") for f in frames])
    assert validate.region_score(network, [full, empty], spec=spec, device="cpu") == 1
    with pytest.raises(TrainingError, match="no stack of the 1 held out has a nucleus"):
        validate.validator("nsn", [empty], spec=spec, device="cpu")


def test_the_best_weights_are_kept(pairs: list[Pair], tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, 0.5])
    kept: list[dict[str, torch.Tensor]] = []

    def score(network: UNet) -> float:
        assert not network.training
        kept.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(scores)

    seen: list[Progress] = []
    train(pairs, SETTINGS, out=tmp_path, validate=score, report=seen.append)
    best = read_checkpoint(tmp_path / "best.pt")
    assert same(dict(best.weights), kept[1])
    assert (best.architecture, best.facts["score"], best.facts["step"]) == (SETTINGS.architecture, 0.9, 6)
    assert [p.best for p in seen] == [None] * 2 + [0.2] * 3 + [0.9] * 4


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_and_precision_runs(pairs: list[Pair], tmp_path: Path, optimizer: Any) -> None:
    seen = run(pairs, tmp_path, replace(SETTINGS, steps=2, optimizer=optimizer, precision="bfloat16"))
    assert all(math.isfinite(p.loss) for p in seen)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "poly"])
def test_the_learning_rate_rises_and_falls(schedule: Any) -> None:
    settings = replace(SETTINGS, steps=100, warmup=10, rate=0.5, schedule=schedule)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[10] == pytest.approx(0.5) == max(rates)
    assert rates[55] == pytest.approx(0.5 * 0.5**0.9 if schedule == "poly" else 0.25)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)


def test_a_constant_rate_stays() -> None:
    settings = replace(SETTINGS, steps=100, warmup=10, rate=0.5, schedule="constant")
    assert {learning_rate(step, settings) for step in range(10, 101)} == {0.5}


def test_the_average_soon_forgets_what_a_training_began_with() -> None:
    average = torch.optim.swa_utils.AveragedModel(
        torch.nn.Linear(1, 1, bias=False), multi_avg_fn=trainee._averaging(0.995)
    )
    weights = torch.nn.Linear(1, 1, bias=False)
    kept = []
    for step in range(300):
        torch.nn.init.constant_(weights.weight, 1.0 if step else 0.0)
        average.update_parameters(weights)
        kept.append(1 - average.module.weight.item())
    assert kept[30] < 0.01
    assert (np.diff(kept) <= 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"clip": -1},
            {"clip": 0},
            {"average": 1},
            {"average": "a"},
            {"momentum": 5},
            {"rate": math.nan},
            {"rate": 0},
        ),
        *({"steps": 0}, {"batch": 1.5}, {"save_every": 0}, {"validate_every": 0}, {"warmup": -5}, {"seed": -1}),
        *({"schedule": "cosin"}, {"optimizer": "lion"}, {"precision": "float16"}, {"target": "border"}),
    ],
)
def test_settings_that_no_training_can_be_done_with(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=f"^{next(iter(wrong))} is "):
        replace(SETTINGS, **wrong).check()


def test_only_ndn_learns_in_float32_unless_told_otherwise() -> None:
    assert [recipe(name).precision for name in ("nsn", "unet3d", "ndn")] == ["bfloat16", "bfloat16", "float32"]
    assert recipe("ndn", precision="bfloat16").precision == "bfloat16"


def test_a_network_without_channels_is_not_the_published_one() -> None:
    with pytest.raises(ModelError, match="base >= 1"):
        recipe("nsn", base=0)


@pytest.mark.parametrize("stop", [8, None])
def test_best_weights_that_are_gone_are_named(pairs: list[Pair], tmp_path: Path, stop: int | None) -> None:
    settings = replace(SETTINGS, steps=9 if stop else 3)
    run(pairs, tmp_path, settings, stop_after=stop)
    (tmp_path / "best.pt").unlink()
    with pytest.raises(TrainingError, match=r"best\.pt is missing.*last\.pt"):
        run(pairs, tmp_path, settings)
