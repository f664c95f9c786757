"""One kind of training on one data set, whatever is held out: what folds, searches and `tlseg train` share.

Pairs are read once and shared by all trainings; held-out pairs are read when they are used for validation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tlseg.errors import TrainingError
from tlseg.predict.device import TorchDevice
from tlseg.store.image.stacks import PairPath
from tlseg.train.loop import Progress, train
from tlseg.train.processes import is_first, join
from tlseg.train.recipe import Network, role_of, spec_in_training
from tlseg.train.samples import Origin, Pair, check_grid, check_truth, load_pair
from tlseg.train.settings import TrainSettings
from tlseg.train.validate import SCORE_NAMES, load_frame, validator


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """Everything a training needs except the groups to hold out.

    Attributes
    ----------
    network, settings
        What is trained, and how.
    paths
        All real pairs; those held out are for validation.
    pairs
        What was read of them, and simulated ones.
    device
        "cpu" or "cuda".
    start
        Weights to start from; None for random ones.
    """

    network: Network
    settings: TrainSettings
    paths: tuple[PairPath, ...]
    pairs: tuple[Pair, ...]
    device: TorchDevice = "cpu"
    start: Mapping[str, Tensor] | None = None

    @property
    def groups(self) -> list[str]:
        """All groups, sorted."""
        return groups_of(self.paths)

    @property
    def score_name(self) -> str:
        """What the validation score is."""
        return SCORE_NAMES[role_of(self.network)]

    def learned_from(self, held: Collection[str]) -> list[Pair]:
        """Pairs to learn from when these groups are held out."""
        return [p for p in self.pairs if p.origin == "simulated" or p.group not in held]

    def judged_by(self, held: Collection[str]) -> list[PairPath]:
        """Pairs to validate on when these groups are held out."""
        return [p for p in self.paths if p.group in held]

    def run(self, held: Collection[str], *, out: Path, report: Callable[[Progress], None]) -> Path:
        """Train with these groups held out (with none: on everything, without validation); return the best weights."""
        join(self.device)
        validate = None
        if held and is_first():
            spec = spec_in_training(self.network, self.settings)
            frames = [load_frame(p) for p in self.judged_by(held)]
            validate = validator(role_of(self.network), frames, spec=spec, device=self.device)
        return train(
            self.learned_from(held),
            self.settings,
            out=out,
            validate=validate,
            report=report,
            device=self.device,
            start=self.start,
            score_name=self.score_name,
        )


def open_session(
    network: Network,
    settings: TrainSettings,
    paths: Sequence[PairPath],
    *,
    always_held: Collection[str] = (),
    simulated: Iterable[PairPath] = (),
    device: TorchDevice = "cpu",
    start: Mapping[str, Tensor] | None = None,
) -> Session:
    """Read the pairs of a session.

    Parameters
    ----------
    network, settings, device, start
        See `Session`.
    paths
        All pairs, real ones.
    always_held
        Groups that no training of this session learns from; they are not read.
    simulated
        Pairs of simulated embryos.

    Raises
    ------
    TrainingError
        When data cannot be read or used, or a group to hold out does not exist.
    """
    check_groups(paths, always_held)
    for path in paths:
        check_grid(path, settings.samples.spacing_um)
        check_truth(path, settings.target)

    def load(path: PairPath, origin: Origin) -> Pair:
        samples = settings.samples
        return load_pair(
            path, target=settings.target, grid_um=samples.spacing_um, scaling=samples.scaling, origin=origin
        )

    pairs = [load(p, "real") for p in paths if p.group not in always_held]
    pairs += [load(p, "simulated") for p in simulated]
    return Session(network, settings, tuple(paths), tuple(pairs), device, start)


def groups_of(paths: Iterable[PairPath]) -> list[str]:
    """Return the groups of these pairs, sorted."""
    return sorted({p.group for p in paths})


def check_groups(paths: Iterable[PairPath], held: Iterable[str]) -> None:
    """Raise a `TrainingError` for a group to hold out that does not exist."""
    groups = groups_of(paths)
    unknown = [g for g in held if g not in groups]
    if unknown:
        raise TrainingError(
            f"There is no group {unknown[0]!r} to hold out (--hold-out); there are {', '.join(groups)}."
        )
