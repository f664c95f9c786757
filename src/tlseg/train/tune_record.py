"""What a search has found so far: a table, a picture, and the best settings as a configuration to train with."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlseg.store.fs.atomic import replacing
from tlseg.train.space import Between, Choices, Dimension, with_values
from tlseg.train.tune import Tried, best_of
from tlseg.wording import how_many

LOOKS = {"finished": ("o", "C0"), "given up": ("x", "0.6")}


def write_search(
    out: Path, tried: Sequence[Tried], *, space: Sequence[Dimension], fixed: Mapping[str, Any], score_name: str
) -> None:
    """Write `trials.csv`, `study.png` and, as soon as a trial has finished, `best.yaml` into `out`."""
    with (out / "trials.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "outcome", "score", *(d.name for d in space), "folder", "error"])
        for t in tried:
            values = [t.values[d.name] for d in space]
            writer.writerow([t.number, t.outcome, "" if t.score is None else t.score, *values, t.folder, t.error])
    draw_search(tried, out / "study.png", space=space, score_name=score_name)
    best = best_of(tried)
    if best is not None:
        written = f"# Best of {how_many(len(tried), 'trial')}: {score_name} {best.score:.4f} in {best.folder}\n"
        written += yaml.safe_dump(with_values(fixed, best.values), sort_keys=False)
        (out / "best.yaml").write_text(written, encoding="utf-8")


def draw_search(tried: Sequence[Tried], path: Path, *, space: Sequence[Dimension], score_name: str) -> None:
    """Draw scores over trials, and over each setting, as a PNG."""
    columns = min(4, len(space) + 1)
    rows = -(-(len(space) + 1) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    _draw_history(panels[0], tried)
    for panel, dimension in zip(panels[1:], space, strict=False):
        _draw_setting(panel, tried, dimension)
    for panel in panels[: len(space) + 1]:
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[::columns]:
        panel.set_ylabel(f"validation {score_name}")
    for panel in panels[len(space) + 1 :]:
        panel.set_axis_off()
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)


def _draw_history(panel: Axes, tried: Sequence[Tried]) -> None:
    for outcome, (marker, colour) in LOOKS.items():
        some = [(i, t.score) for i, t in enumerate(tried, start=1) if t.outcome == outcome and t.score is not None]
        panel.plot(*np.array(some).reshape(-1, 2).T, marker, color=colour, markersize=5, label=outcome)
    finished = [t.score if t.outcome == "finished" and t.score is not None else -np.inf for t in tried]
    best = np.maximum.accumulate(finished) if finished else np.zeros(0)
    seen = np.isfinite(best)
    panel.step(np.arange(1, len(best) + 1)[seen], best[seen], where="post", color="C3", linewidth=1, label="best")
    panel.set_xlabel("trial")
    panel.legend(frameon=False, fontsize="small")


def _draw_setting(panel: Axes, tried: Sequence[Tried], dimension: Dimension) -> None:
    for outcome, (marker, colour) in LOOKS.items():
        places = [
            (_place(t.values[dimension.name], dimension), t.score)
            for t in tried
            if t.outcome == outcome and t.score is not None
        ]
        panel.plot(*np.array(places).reshape(-1, 2).T, marker, color=colour, markersize=5)
    panel.set_xlabel(dimension.name)
    if isinstance(dimension, Between):
        panel.set_xscale("log" if dimension.log else "linear")
    else:
        names = [str(v) for v in dimension.values]
        panel.set_xticks(range(len(names)), names, rotation=20 if sum(map(len, names)) > 24 else 0)
        panel.set_xlim(-0.5, len(names) - 0.5)


def _place(value: Any, dimension: Dimension) -> float:
    return dimension.values.index(value) if isinstance(dimension, Choices) else value
