"""The request for a training, whether from a command line, a search, or Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlseg.errors import TrainingError
from tlseg.geometry import Spacing
from tlseg.predict.device import TorchDevice
from tlseg.store.image.stacks import PairPath
from tlseg.store.labels.pairs import find_pairs
from tlseg.train.folds import kth_group
from tlseg.train.processes import first_ahead
from tlseg.train.recipe import Network, recipe, role_of
from tlseg.train.session import Session, check_groups, groups_of, open_session
from tlseg.train.settings import TrainSettings
from tlseg.train.simulated import simulated_pairs
from tlseg.train.start import starting_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """One training, or trainings that differ in what is held out.

    Parameters
    ----------
    network
        What is trained.
    choices
        Arguments of `recipe`, which turns them into settings.
    spacing_um, labels, channel
        Of the data, see `find_pairs`.
    hold_out
        Groups to validate on; the last if not given, none if empty.
    fold, folds
        Hold out the K-th group instead, counted from 1; or one of several groups after the other, see `chosen_groups`.
    init
        Model, or file of weights, to start from.
    device
        "cpu" or "cuda".
    threads
        CPU threads; by default those of PyTorch.
    """

    network: Network
    choices: Mapping[str, Any] = field(default_factory=dict)
    spacing_um: Spacing | None = None
    labels: str | None = None
    channel: str | None = None
    hold_out: tuple[str, ...] | None = None
    fold: int | None = None
    folds: str | None = None
    init: str | None = None
    device: TorchDevice = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        if sum(asked is not None for asked in (self.hold_out, self.fold, self.folds)) > 1:
            raise TrainingError("Give only one of --hold-out, --fold and --folds: each says what is held out.")

    def settings(self) -> TrainSettings:
        """Settings of the training; raises a `TrainingError` if choices are invalid."""
        return recipe(self.network, **self.choices)

    def pairs(self, data: Path) -> list[PairPath]:
        """Images and labels to train and to validate on."""
        return find_pairs(data, spacing_um=self.spacing_um, labels=self.labels, channel=self.channel)

    def held(self, paths: Sequence[PairPath]) -> list[str]:
        """Groups of these pairs to validate on.

        Raises
        ------
        TrainingError
            When nothing would be left to learn from.
        """
        groups = groups_of(paths)
        if self.fold is not None:
            return [kth_group(groups, self.fold)]
        if self.hold_out is not None:
            return list(self.hold_out)
        if len(groups) == 1:
            raise TrainingError(
                f"DATA holds only one group, {groups[0]}, and nothing would be left to learn from if it were held out. Add "
                "another movie, or train without validation: --hold-out none."
            )
        return groups[-1:]

    def session(
        self,
        settings: TrainSettings,
        paths: Sequence[PairPath],
        *,
        out: Path,
        held: Sequence[str],
        report: Callable[[int, int], None] = lambda _done, _whole: None,
    ) -> Session:
        """Read what is learned from.

        Parameters
        ----------
        settings, paths
            What `settings` and `pairs` give.
        out
            Folder of the training; simulated embryos lie there.
        held
            Groups that are never learned from.
        report
            Called with (stacks done, stacks) while embryos are simulated.
        """
        check_groups(paths, held)
        start = None
        if self.init is not None:
            start = starting_weights(self.init, role=role_of(self.network), architecture=settings.architecture)
        simulated: list[PairPath] = []
        if settings.samples.simulated:
            with first_ahead():
                simulated = simulated_pairs(out / "simulated", seed=settings.seed, report=report)
        return open_session(
            self.network,
            settings,
            paths,
            always_held=held,
            simulated=simulated,
            device=self.device,
            start=start,
        )
