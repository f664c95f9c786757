"""Leave one group out at a time: a training for each group, judged by the group it never saw.

Every fold is a training of its own in a folder of its own, so a second start does only what is missing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tlseg.errors import TrainingError
from tlseg.models.checkpoint import read_checkpoint
from tlseg.train.loop import Progress
from tlseg.train.processes import is_first
from tlseg.train.session import Session
from tlseg.wording import how_many

Watch = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]


@dataclass(frozen=True, slots=True)
class Fold:
    """Outcome of one fold: `score` is the best on the `frames` of the held-out group, reached at `step`."""

    group: str
    score: float
    step: int
    pairs: int
    frames: int
    weights: str


def kth_group(groups: Sequence[str], k: int) -> str:
    """Name of the K-th group, counted from 1."""
    if not 1 <= k <= len(groups):
        raise TrainingError(
            f"There is no fold {k}: {how_many(len(groups), 'group makes', 'groups make')} folds 1 to {len(groups)}."
        )
    return groups[k - 1]


def chosen_groups(groups: Sequence[str], text: str) -> list[str]:
    """Groups named in `text`, separated by commas; all for "all"."""
    if text == "all":
        return list(groups)
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in groups]
    if unknown:
        raise TrainingError(f"There is no group {unknown[0]!r} (--folds); there are {', '.join(groups)}.")
    return list(dict.fromkeys(names))


def run_folds(session: Session, groups: Sequence[str], *, out: Path, watch: Watch) -> list[Fold]:
    """Train one fold for each of these groups into `out/GROUP`; finished ones are kept.

    Parameters
    ----------
    session
        What is trained, on what.
    groups
        Groups to hold out, one at a time.
    out
        Folder for the folds, `folds.csv` and `folds.json`, which are written after each.
    watch
        For a group, a context that yields the function to report its steps to.
    """
    if len(session.groups) < 2:
        raise TrainingError(
            f"There is only one group, {session.groups[0]}, but folds need two: a whole group is held out at a time."
        )
    done: list[Fold] = []
    for group in groups:
        with watch(group) as report:
            best = session.run([group], out=out / group, report=report)
        facts = read_checkpoint(best).facts
        done.append(
            Fold(
                group=group,
                score=facts["score"],
                step=facts["step"],
                pairs=len(session.learned_from([group])),
                frames=len(session.judged_by([group])),
                weights=str(best),
            )
        )
        if is_first():
            write_folds(out, done, summary={"network": session.network, "score": session.score_name})
    return done


def write_folds(out: Path, folds: Sequence[Fold], *, summary: dict[str, Any]) -> None:
    """Write `folds.csv`, a row for each, and `folds.json` with the mean as well."""
    with (out / "folds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Fold)])
        writer.writeheader()
        writer.writerows(asdict(fold) for fold in folds)
    mean = sum(f.score for f in folds) / len(folds)
    described = {**summary, "mean": mean, "folds": [asdict(f) for f in folds]}
    (out / "folds.json").write_text(json.dumps(described, indent=2) + "\n")
