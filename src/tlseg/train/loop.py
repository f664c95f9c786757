"""Train one network: the same steps whether or not it was interrupted.

Batches are numbered, so a resumed training sees what it would have seen. The weights kept are the averaged ones with the
best score on the held-out groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tlseg.errors import FailedTrainingError, TrainingError
from tlseg.models.unet import UNet
from tlseg.predict.device import TorchDevice
from tlseg.store.locks.lock import Lock
from tlseg.train.logs import TrainingLog
from tlseg.train.processes import first_holds, wait_for_all
from tlseg.train.samples import Pair, fingerprint
from tlseg.train.settings import TrainSettings
from tlseg.train.trainee import Trainee, new_trainee

Validate = Callable[[UNet], float]

MOST_SKIPPED = 25
"""Consecutive steps without a usable gradient after which continuing is pointless."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a training reports after each step."""

    step: int
    steps: int
    loss: float
    skipped: int
    score: float | None
    best: float | None


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn out-of-memory errors into one line that says what takes less memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU, torch has no class of its own for it.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise FailedTrainingError(
            "This training does not fit into memory. Use a smaller --crop, --batch or --base."
        ) from error


@enough_memory()
def train(
    pairs: Sequence[Pair],
    settings: TrainSettings,
    *,
    out: Path,
    validate: Validate | None,
    report: Callable[[Progress], None],
    device: TorchDevice = "cpu",
    start: Mapping[str, Tensor] | None = None,
    score_name: str = "score",
) -> Path:
    """Train until `settings.steps`, resuming from `out/last.pt` if it exists.

    Parameters
    ----------
    pairs
        What to learn from.
    settings
        The training.
    out
        Folder for `last.pt`, `best.pt`, `log.csv`, `curves.png` and TensorBoard's files.
    validate
        Score of a network, higher is better; None to keep the weights of the last step.
    report
        Called after each step, on the first process.
    device
        "cpu" or "cuda".
    start
        Weights to start from, instead of random ones.
    score_name
        What the score is, for the picture.

    Returns
    -------
    Path of the best weights, `out/best.pt`.

    Raises
    ------
    TrainingError
        When there are no pairs, settings are invalid, or `out` holds a training with other settings or data, or without its
        best weights.
    FailedTrainingError
        When gradients stay non-finite, or memory runs out.
    RunError
        When another training is writing to `out`, or a checkpoint cannot be written to disk.
    """
    if not pairs:
        raise TrainingError(
            "There is nothing to train on: the training set is empty. Hold out fewer groups for validation (--hold-out)."
        )
    settings.check()
    trainee = new_trainee(settings, data=fingerprint(pairs), start=start, device=device)
    last, best = out / "last.pt", out / "best.pt"
    with first_holds(out) as lock:
        if last.is_file():
            trainee.resume(last)
            _check_best(trainee, best)
        if trainee.ended:
            return best
        if lock is not None:
            _lead(trainee, pairs, out=out, validate=validate, report=report, score_name=score_name, lock=lock)
        else:
            while not trainee.ended:
                trainee.learn(pairs)
                _check_numbers(trainee)
        wait_for_all()
    return best


def _lead(
    trainee: Trainee,
    pairs: Sequence[Pair],
    *,
    out: Path,
    validate: Validate | None,
    report: Callable[[Progress], None],
    score_name: str,
    lock: Lock,
) -> None:
    """Learn to the end; judge, save and report on the way."""
    settings, best = trainee.settings, out / "best.pt"
    with TrainingLog(out, step=trainee.step, score_name=score_name) as log:
        while not trainee.ended:
            loss = trainee.learn(pairs)
            lock.beat()  # before anything is written: what is there may be another's by now
            interval = trainee.step % settings.validate_every == 0 or trainee.ended
            score = _judge(trainee, validate, best) if interval else None
            log.write(trainee.step, loss=loss, rate=trainee.rate, score=score)
            if trainee.step % settings.save_every == 0 or trainee.ended:
                trainee.save(out / "last.pt")
            if interval:
                log.draw()
            report(Progress(trainee.step, settings.steps, loss, trainee.skipped, score, trainee.score))
            _check_numbers(trainee)


def _judge(trainee: Trainee, validate: Validate | None, best: Path) -> float | None:
    """Score the averaged weights, and keep them if none were better; without a score the latest are kept."""
    if validate is None:
        trainee.save_average(best)
        return None
    score = validate(trainee.average)
    if trainee.score is None or score > trainee.score:
        trainee.score = score
        trainee.save_average(best)
    return score


def _check_best(trainee: Trainee, best: Path) -> None:
    """Weights that were the best so far cannot be made again; the final average would be taken for them."""
    if (trainee.ended or trainee.score is not None) and not best.is_file():
        raise TrainingError(
            f"{best.parent} holds a training up to step {trainee.step}, but its {best.name} is missing. Put it back, "
            f"continue from {best.parent / 'last.pt'} (--init) into another --out, or delete {best.parent} and train again."
        )


def _check_numbers(trainee: Trainee) -> None:
    if trainee.in_a_row >= MOST_SKIPPED:
        raise FailedTrainingError(
            f"{MOST_SKIPPED} steps in a row, up to step {trainee.step}, had non-finite gradients. Train with "
            "--precision float32 or a lower --rate, into another --out."
        )
