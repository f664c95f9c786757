"""Logs of a training: a line per step in `log.csv`, the same in TensorBoard, and curves as a picture.

`log.csv` equals that of an uninterrupted training: lines of steps lost in an interruption are written again.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from tlseg.store.fs.atomic import replacing, write_atomically

HEADER = ("step", "loss", "rate", "score")
SMOOTHED_OVER = 50


@dataclass(frozen=True, slots=True)
class Curves:
    """Content of `log.csv`: one value per step, and `score` nan where nothing was validated."""

    step: np.ndarray
    loss: np.ndarray
    rate: np.ndarray
    score: np.ndarray


class TrainingLog:
    """The log of one training in its folder, from `step` on; later lines are lost with the interruption."""

    def __init__(self, folder: Path, *, step: int, score_name: str) -> None:
        self.folder, self.score_name = folder, score_name
        self.csv = folder / "log.csv"
        _keep(self.csv, step)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.board.close()

    def write(self, step: int, *, loss: float, rate: float, score: float | None) -> None:
        """Add the line of a step."""
        new = not self.csv.exists()
        with self.csv.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(HEADER)
            writer.writerow([step, f"{loss:.6f}", f"{rate:.3e}", "" if score is None else f"{score:.5f}"])
        self.board.add_scalar("loss", loss, step)
        self.board.add_scalar("rate", rate, step)
        if score is not None:
            self.board.add_scalar("score", score, step)

    def draw(self) -> None:
        """Draw `curves.png` from all that was logged."""
        self.board.flush()
        draw_curves(read_curves(self.csv), self.folder / "curves.png", score_name=self.score_name)


def read_curves(path: Path) -> Curves:
    """Read a `log.csv`."""
    with path.open(newline="") as file:
        rows = [[float(row[name] or "nan") for name in HEADER] for row in csv.DictReader(file)]
    step, loss, rate, score = np.array(rows, dtype=float).reshape(-1, len(HEADER)).T
    return Curves(step, loss, rate, score)


def draw_curves(curves: Curves, path: Path, *, score_name: str) -> None:
    """Draw loss, learning rate and, where anything was validated, the validation score over steps as a PNG."""
    seen = np.isfinite(curves.score)
    panels = 3 if seen.any() else 2
    figure = Figure(figsize=(11 * panels / 3, 3.2), layout="constrained")
    axes = figure.subplots(1, panels)
    axes[0].plot(curves.step, curves.loss, color="0.8", linewidth=0.8, label="each step")
    axes[0].plot(curves.step, _smooth(curves.loss), color="C0", label=f"mean of the last {SMOOTHED_OVER}")
    axes[0].set(title="loss", ylim=(0, None))
    axes[0].legend(frameon=False)
    axes[1].plot(curves.step, curves.rate, color="C1")
    axes[1].set(title="learning rate", ylim=(0, None))
    if seen.any():
        axes[2].plot(curves.step[seen], curves.score[seen], color="C2", marker="o", markersize=3)
        axes[2].set(title=f"validation {score_name}")
        best = int(np.nanargmax(curves.score))
        axes[2].plot(curves.step[best], curves.score[best], "o", color="C3", markersize=6)
        axes[2].annotate(
            f"{curves.score[best]:.3f}",
            (curves.step[best], curves.score[best]),
            (-4, -14),
            textcoords="offset points",
            ha="right",
        )
    for axis in axes:
        axis.set(xlabel="step", xlim=(0, curves.step[-1]))
        axis.spines[["top", "right"]].set_visible(False)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean of the last steps, ignoring values that are not finite."""
    good = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(good)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - SMOOTHED_OVER)
    mean: np.ndarray = (total[stop] - total[start]) / np.maximum(1, count[stop] - count[start])
    return mean


def _keep(path: Path, step: int) -> None:
    """Keep what the log says about the first `step` steps; a line truncated by a kill is dropped too."""
    if not path.is_file():
        return
    lines = path.read_bytes().splitlines(keepends=True)[: step + 1]
    write_atomically(path, b"".join(lines))
