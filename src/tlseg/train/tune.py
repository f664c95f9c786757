"""Which training settings give the best score?

A search over trainings that can be stopped at any step and continues there: trials and their scores are in a database, and
every training resumes from its own checkpoint. Trainings that fall behind the median at the same step are given up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from tlseg.errors import FailedTrainingError, TrainingError
from tlseg.store.fs.place import place_of
from tlseg.store.locks.lock import lock_of
from tlseg.train.loop import Progress
from tlseg.train.space import Between, Dimension

STUDY = "trainings"
STARTUP = 4
"""Trials that are always finished: a median of fewer says little."""

Outcome = Literal["finished", "given up", "failed"]
OUTCOMES: Mapping[TrialState, Outcome] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "given up",
    TrialState.FAIL: "failed",
}

Report = Callable[[Progress], None]
Train = Callable[[Mapping[str, Any], Path, Report], float]
"""Train with these values into a folder, reporting each step; returns the best validation score."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial: the values it had, how it ended, and its best score (None where it failed before the first)."""

    number: int
    values: Mapping[str, Any]
    outcome: Outcome
    score: float | None
    folder: str
    error: str = ""


def tune(
    space: Sequence[Dimension],
    train: Train,
    *,
    out: Path,
    trials: int,
    fixed: Mapping[str, Any],
    seed: int = 0,
    report: Callable[[list[Tried]], None] = lambda tried: None,
) -> list[Tried]:
    """Search until `trials` have ended, in this call and earlier ones together.

    Parameters
    ----------
    space
        What is searched over.
    train
        Trains once; a `FailedTrainingError` is a failed trial, any other error ends the search, which another call
        continues.
    out
        Folder of the search: `study.db`, and a folder for each trial.
    fixed
        Everything else that decides the trainings, as plain values; another start must agree.
    seed
        Of the sampler.
    report
        Called with all trials so far, after each trial.

    Raises
    ------
    TrainingError
        When `out` holds another search, or no training succeeded.
    RunError
        When another search is writing to `out`.
    """
    with lock_of(place_of(out)) as lock, _opened(space, out=out, fixed=fixed, seed=seed) as study:
        _take_up(study)
        while len(tried := _ended(study, space)) < trials:
            _try(study, space, train, out=out)
            report(_ended(study, space))
            lock.beat()
    if best_of(tried) is None:
        reasons = next((t.error for t in tried if t.error), "no validation")
        raise TrainingError(f"None of the trainings ({len(tried)}) reached a score. The first reported: {reasons}")
    return tried


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """The finished trial with the best score, the earliest of equals; None where none finished."""
    finished = [t for t in tried if t.outcome == "finished"]
    return max(finished, key=lambda t: (t.score or 0.0, -t.number), default=None)


def _try(study: optuna.Study, space: Sequence[Dimension], train: Train, *, out: Path) -> None:
    trial = study.ask()
    folder = str(trial.user_attrs.get("folder", f"trial-{trial.number:04d}"))
    trial.set_user_attr("folder", folder)
    values = {dimension.name: dimension.suggest(trial) for dimension in space}

    def watch(progress: Progress) -> None:
        if progress.score is not None:
            trial.report(progress.score, progress.step)
            if progress.step < progress.steps and trial.should_prune():
                raise optuna.TrialPruned

    try:
        score = train(values, out / folder, watch)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except FailedTrainingError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, score)
    # A trial that has ended is not gone on with, and the state of its optimizer is most of what it wrote.
    (out / folder / "last.pt").unlink(missing_ok=True)


@contextmanager
def _opened(space: Sequence[Dimension], *, out: Path, fixed: Mapping[str, Any], seed: int) -> Iterator[optuna.Study]:
    """Yield the study in `out`, whose database is closed again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{(out / 'study.db').absolute()}")
    try:
        yield _study_of(storage, space, out=out, fixed=fixed, seed=seed)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _study_of(
    storage: optuna.storages.RDBStorage, space: Sequence[Dimension], *, out: Path, fixed: Mapping[str, Any], seed: int
) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
    )
    # Another seed after each start: the same one would propose again what it proposed first.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    asked = json.dumps({"space": [_described(d) for d in space], "fixed": fixed}, sort_keys=True, default=str)
    if study.user_attrs.setdefault("asked", asked) != asked:
        raise TrainingError(f"{out} holds a search over other settings. Choose another --out, or delete it.")
    study.set_user_attr("asked", asked)
    return study


def _take_up(study: optuna.Study) -> None:
    """Queue interrupted trials again; they continue in the folders they began in."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"folder": trial.user_attrs["folder"]})


def _ended(study: optuna.Study, space: Sequence[Dimension]) -> list[Tried]:
    """Trials that ended by themselves; interrupted ones are not among them."""
    return [
        _tried(t, space)
        for t in study.get_trials(deepcopy=False)
        if t.state in OUTCOMES and (t.state != TrialState.FAIL or "error" in t.user_attrs)
    ]


def _tried(trial: FrozenTrial, space: Sequence[Dimension]) -> Tried:
    values = {
        d.name: trial.params[d.name] if isinstance(d, Between) else json.loads(trial.params[d.name]) for d in space
    }
    seen = list(trial.intermediate_values.values())
    score = trial.value if trial.state == TrialState.COMPLETE else max(seen, default=None)
    return Tried(
        number=trial.number,
        values=values,
        outcome=OUTCOMES[trial.state],
        score=score,
        folder=trial.user_attrs["folder"],
        error=trial.user_attrs.get("error", ""),
    )


def _described(dimension: Dimension) -> list[Any]:
    if isinstance(dimension, Between):
        return [dimension.name, "between", dimension.low, dimension.high, dimension.log]
    return [dimension.name, "choices", list(dimension.values)]
