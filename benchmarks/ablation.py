"""What do the choices of the paper's supplement do? One is changed at a time, everything else and the seeds stay.

    python benchmarks/ablation.py --out ablation [--network nsn] [--hold-out Emb11] [--steps 500] [--base 16] [--seeds 0,1]

reference      ReLU, skip connections, one output with a sigmoid, Adam
sigmoid        sigmoid instead of ReLU between the layers
no skips       skip connections left out
softmax        two outputs with a softmax
SGD            stochastic gradient descent with momentum 0.9 and its own rate (--sgd-rate)

All see the same crops in the same order and are judged by the same held-out stacks. Every training resumes from its folder
OUT/NETWORK/CHOICE/SEED; another budget needs another OUT. Draws ablation.png and writes ablation.md and ablation.csv.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from machine import machine, table
from matplotlib.figure import Figure

from tlseg.geometry import Shape
from tlseg.models.unet import UNet, count_parameters
from tlseg.predict.device import resolve_device
from tlseg.store.labels.pairs import find_pairs
from tlseg.train.logs import Curves, read_curves
from tlseg.train.loop import Progress
from tlseg.train.recipe import recipe
from tlseg.train.session import open_session
from tlseg.train.settings import TrainSettings

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data")) / "bbbc050"
REFERENCE = "reference"
CHOICES: Mapping[str, Mapping[str, Any]] = {
    REFERENCE: {},
    "sigmoid": {"activation": "sigmoid"},
    "no skips": {"skip": False},
    "softmax": {"output": "softmax"},
    "SGD": {"optimizer": "sgd"},
}
TOLD = {
    REFERENCE: "ReLU, skips, sigmoid output, Adam",
    "sigmoid": "sigmoid between layers",
    "no skips": "no skip connections",
    "softmax": "softmax output",
    "SGD": "SGD",
}
SMOOTHED_OVER = 25


def main() -> None:
    """Train what is not trained yet, then draw and tell."""
    options = arguments()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    paths, held = find_pairs(options.data), options.hold_out.split(",")
    opened = open_session(
        options.network, settings_of(REFERENCE, options, seed=0), paths, always_held=held, device=device
    )
    curves: dict[tuple[str, int], Curves] = {}
    rows = []
    for choice in options.choices.split(","):
        for seed in options.seeds:
            settings = settings_of(choice, options, seed=seed)
            session = replace(opened, settings=settings)  # the pairs do not depend on what is changed
            out = options.out / options.network / choice.replace(" ", "-") / str(seed)
            session.run(held, out=out, report=watch(f"{choice}, seed {seed}"))
            log = curves[choice, seed] = read_curves(out / "log.csv")
            rows.append(
                {
                    "choice": choice,
                    "seed": seed,
                    "parameters": count_parameters(UNet(settings.architecture)),
                    "loss": float(np.nanmean(log.loss[-SMOOTHED_OVER:])),
                    "best": float(np.nanmax(log.score)),
                    "at": int(log.step[np.nanargmax(log.score)]),
                }
            )
    text = report_of(pd.DataFrame(rows), options, opened.score_name)
    pd.DataFrame(rows).to_csv(options.out / "ablation.csv", index=False)
    (options.out / "ablation.md").write_text(text + "\n")
    draw(curves, options.out / "ablation.png", score_name=opened.score_name)
    print(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", choices=["nsn", "ndn", "unet3d"], default="nsn")
    parser.add_argument("--choices", default=",".join(CHOICES), help="only these, separated by commas")
    parser.add_argument("--hold-out", default="Emb11")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--validate-every", type=int, default=100)
    parser.add_argument("--base", type=int, help="channels of the first convolution; as published by default")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--crop", type=triple, default=(32, 64, 64))
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--sgd-rate", type=float, default=0.05)
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    unknown = [name for name in options.choices.split(",") if name not in CHOICES]
    if unknown:
        parser.error(f"there is no choice {unknown[0]!r}; there are {', '.join(CHOICES)}")
    return options


def triple(text: str) -> Shape:
    z, y, x = (int(n) for n in text.split(","))
    return z, y, x


def settings_of(choice: str, options: argparse.Namespace, *, seed: int) -> TrainSettings:
    """The reference with one thing changed."""
    sgd = choice == "SGD"
    return recipe(
        options.network,
        base=options.base,
        crop=options.crop,
        steps=options.steps,
        batch=options.batch,
        rate=options.sgd_rate if sgd else options.rate,
        warmup=min(50, options.steps // 10),
        seed=seed,
        validate_every=options.validate_every,
        **CHOICES[choice],
    )


def watch(what: str) -> Any:
    """One line that follows a training."""

    def report(progress: Progress) -> None:
        score = "" if progress.best is None else f", best {progress.best:.3f}"
        end = "\n" if progress.step == progress.steps else ""
        print(f"\r{what}: step {progress.step}/{progress.steps}, loss {progress.loss:.4f}{score}", end=end, flush=True)

    return report


def report_of(rows: pd.DataFrame, options: argparse.Namespace, score_name: str) -> str:
    """Mean over seeds, and how far each is from the reference with the same seed."""
    lines = []
    reference = rows[rows["choice"] == REFERENCE].set_index("seed")["best"]
    for choice, some in rows.groupby("choice", sort=False):
        gain = (some.set_index("seed")["best"] - reference).dropna()
        spread = f" ± {some['best'].std():.3f}" if len(some) > 1 else ""
        lines.append(
            [
                TOLD[str(choice)],
                f"{some['parameters'].iloc[0]:,}",
                f"{some['loss'].mean():.4f}",
                f"{some['best'].mean():.3f}{spread}",
                f"{gain.mean():+.3f}" if len(gain) and choice != REFERENCE else "",
            ]
        )
    budget = (
        f"{options.network}: {options.steps} steps of {options.batch} crops of {options.crop} voxels, seeds "
        f"{options.seeds}; judged by {options.hold_out}."
    )
    return "\n\n".join(
        [machine(), budget, table(["choice", "parameters", "last loss", f"best {score_name}", "change"], lines)]
    )


def draw(curves: Mapping[tuple[str, int], Curves], path: Path, *, score_name: str) -> None:
    """Losses and validation scores of all trainings; one colour per choice, seeds alike."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    colors = {choice: f"C{i}" for i, choice in enumerate(CHOICES)}
    for (choice, log), is_first in first_of_choice(curves):
        style = {"color": colors[choice], "linewidth": 1.4, "label": TOLD[choice] if is_first else None}
        losses.plot(log.step, smooth(log.loss), **style)
        seen = np.isfinite(log.score)
        scores.plot(log.step[seen], log.score[seen], marker="o", markersize=3, **style)
    losses.set(title=f"loss, mean of {SMOOTHED_OVER} steps", xlabel="step", ylim=(0, None))
    scores.set(title=f"validation {score_name}", xlabel="step")
    for axis in (losses, scores):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    losses.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)


def first_of_choice(curves: Mapping[tuple[str, int], Curves]) -> Iterator[tuple[tuple[str, Curves], bool]]:
    """Each curve with its choice, and whether it is the first of that choice."""
    seen: set[str] = set()
    for (choice, _), log in curves.items():
        yield (choice, log), choice not in seen
        seen.add(choice)


def smooth(values: np.ndarray) -> np.ndarray:
    """Mean of the last steps."""
    return pd.Series(values).rolling(SMOOTHED_OVER, min_periods=1).mean().to_numpy()


if __name__ == "__main__":
    main()
