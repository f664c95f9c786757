"""The trainings of one search: alike except for the values that are searched over."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tlseg.errors import FailedTrainingError, TrainingError
from tlseg.models.checkpoint import read_checkpoint
from tlseg.store.image.stacks import PairPath
from tlseg.train.recipe import augmented
from tlseg.train.request import TrainRequest
from tlseg.train.session import Session, check_groups, groups_of
from tlseg.train.settings import TrainSettings
from tlseg.train.space import Between, Dimension
from tlseg.train.tune import Report

Ask = Callable[[Mapping[str, Any], Path], TrainRequest]
"""Request of a training with these values, into this folder, which exists and may keep the request."""

Watch = Callable[[str, int], AbstractContextManager[Report]]
"""For the name and the steps of a training, a context that yields the function to report its steps to."""

OpenSession = Callable[..., Session]
"""Reads what a training learns from: takes the arguments of `TrainRequest.session`, but for `report`."""


@dataclass(slots=True)
class Trainings:
    """Trainings into folders of one search; stacks are read once for all that see them alike.

    Parameters
    ----------
    ask
        The request of a training with certain values.
    data, out
        What is learned from, and the folder of the search.
    watch, open_session
        Show how far a training is, and read what it learns from.
    """

    ask: Ask
    data: Path
    out: Path
    watch: Watch
    open_session: OpenSession = TrainRequest.session
    paths: list[PairPath] = field(default_factory=list)
    sessions: dict[Hashable, Session] = field(default_factory=dict)
    score_name: str = "score"

    def check(self, space: Sequence[Dimension]) -> None:
        """Find the pairs, and raise for values that no training would take."""
        ends = {d.name: (d.low, d.high) if isinstance(d, Between) else d.values for d in space}
        first = {name: values[0] for name, values in ends.items()}
        with TemporaryDirectory() as folder:
            request = self._asked(first, Path(folder))
            for name, values in ends.items():
                for value in values[1:]:
                    self._asked({**first, name: value}, Path(folder))
        if request.fold is not None or request.folds is not None or request.hold_out == ():
            raise TrainingError("Trainings of a search are judged by the groups in hold_out; leave out fold and folds.")
        self.paths = request.pairs(self.data)
        check_groups(self.paths, self._held(request))

    def run(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        """Train once with these values; returns the best validation score."""
        folder.mkdir(parents=True, exist_ok=True)
        request = self.ask(values, folder)
        if request.threads:
            torch.set_num_threads(request.threads)
        held = self._held(request)
        try:
            settings = request.settings()
        except TrainingError as error:
            # Values that do not go together are a trial that failed; anything else that is wrong ends the search.
            raise FailedTrainingError(str(error)) from error
        session = self._session(request, settings, held)
        self.score_name = session.score_name
        with self.watch(folder.name, settings.steps) as shown:

            def both(progress: Any) -> None:
                shown(progress)
                report(progress)

            best = session.run(held, out=folder, report=both)
        return float(read_checkpoint(best).facts["score"])

    def _asked(self, values: Mapping[str, Any], folder: Path) -> TrainRequest:
        """Request of a training; an augmentation that no training takes, whatever else is chosen, is an error."""
        request = self.ask(values, folder)
        augmented(request.choices.get("augment") or {})
        return request

    def _held(self, request: TrainRequest) -> list[str]:
        """Groups that trainings are validated on; a search over one group says so when it reads it."""
        return groups_of(self.paths)[-1:] if request.hold_out is None else list(request.hold_out)

    def _session(self, request: TrainRequest, settings: TrainSettings, held: Sequence[str]) -> Session:
        samples = settings.samples
        start = settings.architecture if request.init is not None else None
        alike = (settings.target, samples.spacing_um, samples.scaling, samples.simulated > 0, start)
        if alike not in self.sessions:
            self.sessions[alike] = self.open_session(request, settings, self.paths, out=self.out, held=held)
        return replace(self.sessions[alike], settings=settings)
