"""Train one network: the same steps whether or not it was interrupted.

Every checkpoint holds weights, optimizer and the step; batches are numbered, so a resumed training sees what it would
have seen. The weights kept are those with the best score on the validation group.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tlseg.errors import TrainingError
from tlseg.models.unet import UNet, UNetConfig
from tlseg.train.losses import loss_of
from tlseg.train.samples import Pair, SampleSettings, batch

Optimizer = Literal["adam", "adamw", "sgd"]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training.

    `rate` is the peak learning rate: reached after `warmup` steps, then falling to zero along half a cosine.
    `precision` "bfloat16" uses autocast; a step with a gradient that is not finite is skipped and counted. What is
    validated and kept is a moving average of the weights that forgets by `average` each step.
    """

    architecture: UNetConfig
    target: Literal["mask", "centre"]
    steps: int = 3000
    batch: int = 2
    loss: str = "bce+dice"
    optimizer: Optimizer = "adam"
    rate: float = 1e-3
    warmup: int = 50
    average: float = 0.995
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    seed: int = 0
    save_every: int = 100
    validate_every: int = 500
    samples: SampleSettings = field(default_factory=SampleSettings)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a training reports after each step."""

    step: int
    steps: int
    loss: float
    skipped: int
    score: float | None
    best: float | None


def train(
    pairs: list[Pair],
    settings: TrainSettings,
    *,
    out: Path,
    validate: Callable[[UNet], float],
    report: Callable[[Progress], None],
    device: str = "cpu",
) -> Path:
    """Train until `settings.steps`, resuming from `out/last.pt` where it is; return the path of the best weights.

    Raises
    ------
    TrainingError
        When there are no pairs, crops are too small, or `out` holds a training with other settings.
    """
    if not pairs:
        raise TrainingError(
            "There is nothing to train on: the training set is empty. Hold out fewer groups for validation (--hold-out)."
        )
    coarsest = math.prod(n // settings.architecture.multiple for n in settings.samples.crop)
    if coarsest * settings.batch < 2:
        raise TrainingError(
            f"Batches of {settings.batch} crops of {settings.samples.crop} voxels leave less than two voxels at the "
            f"coarsest of {settings.architecture.levels} levels, and batch norm needs two. Use a larger --crop or --batch."
        )
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network = UNet(settings.architecture).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
    optimizer = _optimizer(network, settings)
    loss_function = loss_of(settings.loss)
    described = asdict(settings)
    step, best, skipped = 0, None, 0
    last = out / "last.pt"
    if last.is_file():
        state = torch.load(last, map_location=device, weights_only=True)
        if state["settings"] != repr(described):
            raise TrainingError(f"{out} holds a training with other settings. Choose another --out, or delete it.")
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step, best, skipped = state["step"], state["best"], state["skipped"]
    _trim_log(out / "log.csv", step)

    while step < settings.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        images, targets = batch(pairs, settings.samples, seed=settings.seed, step=step, size=settings.batch)
        network.train()
        with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            logits = network(images.to(device, memory_format=torch.channels_last_3d))
        loss = loss_function(logits, targets.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        if bool(torch.isfinite(norm)):
            optimizer.step()
            averaged.update_parameters(network)
        else:
            skipped += 1
        step += 1
        score = None
        if step % settings.validate_every == 0 or step == settings.steps:
            averaged.eval()
            score = validate(averaged.module)
            if best is None or score > best:
                best = score
                _save(out / "best.pt", averaged.module.state_dict())
        _log(out / "log.csv", step, float(loss.detach()), learning_rate(step - 1, settings), score)
        if step % settings.save_every == 0 or step == settings.steps:
            state = {
                "settings": repr(described),
                "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "best": best,
                "skipped": skipped,
            }
            _save(last, state)
        report(Progress(step, settings.steps, float(loss.detach()), skipped, score, best))
    return out / "best.pt"


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.rate * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(network: UNet, settings: TrainSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), lr=settings.rate, momentum=0.9)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), lr=settings.rate)


def _save(path: Path, state: Any) -> None:
    """Write beside and rename, so that a kill leaves the checkpoint before."""
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(path)


def _log(path: Path, step: int, loss: float, rate: float, score: float | None) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss", "rate", "score"])
        writer.writerow([step, f"{loss:.6f}", f"{rate:.3e}", "" if score is None else f"{score:.5f}"])


def _trim_log(path: Path, step: int) -> None:
    """Keep what the log says about the first `step` steps; later ones, lost with the last interruption, are done again."""
    if not path.is_file():
        return
    lines = path.read_bytes().splitlines(keepends=True)[: step + 1]
    beside = path.with_suffix(".part")
    beside.write_bytes(b"".join(lines))
    beside.replace(path)
