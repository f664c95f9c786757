"""`tlseg tune`: search training settings for the best validation score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli import train as training
from tlseg.cli.common import SEED, LocalPath, goes_on_when_stopped, json_option, one_line_errors, print_json
from tlseg.installed import missing_extra

if TYPE_CHECKING:
    from tlseg.store.image.stacks import PairPath
    from tlseg.train.loop import Progress
    from tlseg.train.session import Session
    from tlseg.train.settings import TrainSettings
    from tlseg.train.space import Dimension
    from tlseg.train.tune import Report, Tried

EXTRA = ("accelerate", "matplotlib", "optuna", "tensorboard")


@click.command("tune")
@click.argument("data", type=LocalPath())
@click.option("--out", type=LocalPath(), required=True, help="Folder for the search and its trainings.")
@click.option("--config", type=LocalPath(), required=True, help="TOML or YAML file with a table [search].")
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Trainings, with earlier ones.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the search.")
@json_option
@one_line_errors
@goes_on_when_stopped
def command(data: Path, out: Path, config: Path, trials: int, seed: int, as_json: bool) -> None:
    """Search the settings that train best on the pairs in DATA.

    The file says `network` (nsn, ndn or unet3d) and anything `tlseg train --config` takes; its table [search] names what
    is searched over: a list of choices, or { low = 1e-4, high = 1e-2, log = true }. Trainings that fall behind are
    given up, and a search that was stopped goes on where it was. OUT/best.yaml is a configuration for tlseg train.
    """
    _check_extra()
    from tlseg.store.labels.pairs import find_pairs
    from tlseg.train.config import read_config
    from tlseg.train.session import check_groups
    from tlseg.train.space import read_space
    from tlseg.train.tune import best_of, tune
    from tlseg.train.tune_record import write_search

    fixed = read_config(config)
    network, space = str(fixed.pop("network", "nsn")), read_space(fixed.pop("search", None))
    trainings = _Trainings(network, data, out, fixed)
    options = trainings.check(space)
    trainings.paths = find_pairs(
        data, spacing_um=options["spacing"], labels=options["labels"], channel=options["channel"]
    )
    check_groups(trainings.paths, trainings.held(options))

    def report(tried: list[Tried]) -> None:
        write_search(out, tried, space=space, fixed=fixed, score_name=trainings.score_name)
        last, best = tried[-1], best_of(tried)
        said = f"trial {len(tried)}/{trials} {last.outcome}" + (f": {last.score:.4f}" if last.score is not None else "")
        click.echo(
            said + (f", best {best.score:.4f}" if best else "") + (f" ({last.error})" if last.error else ""), err=True
        )

    asked = {"network": network, "data": str(data.resolve()), **fixed}
    tried = tune(space, trainings.run, out=out, trials=trials, fixed=asked, seed=seed, report=report)
    best = best_of(tried)
    if as_json:
        print_json({"trials": [asdict(t) for t in tried], "best": asdict(best) if best else None, "network": network})
        return
    if best is not None:
        values = ", ".join(f"{name} {value}" for name, value in best.values.items())
        click.echo(f"Best of {len(tried)} trials: {trainings.score_name} {best.score:.4f} with {values}")
    click.echo(f"Table and picture: {out / 'trials.csv'}, {out / 'study.png'}")
    click.echo(f"Train with it: tlseg train {network} {data} --out ... --config {out / 'best.yaml'}")


@dataclass(slots=True)
class _Trainings:
    """Trainings of one search; stacks are read once for all that see them alike."""

    network: str
    data: Path
    out: Path
    fixed: Mapping[str, Any]
    paths: list[PairPath] = field(default_factory=list)
    sessions: dict[Any, Session] = field(default_factory=dict)
    score_name: str = "score"

    def check(self, space: tuple[Dimension, ...]) -> dict[str, Any]:
        """Raise for values that no training would take; returns the options that trainings share."""
        from tlseg.errors import TrainingError
        from tlseg.train.space import Between

        ends = {d.name: (d.low, d.high) if isinstance(d, Between) else d.values for d in space}
        first = {name: values[0] for name, values in ends.items()}
        with TemporaryDirectory() as folder:
            options, _ = self._parsed(first, Path(folder))
            for name, values in ends.items():
                for value in values[1:]:
                    self._parsed({**first, name: value}, Path(folder))
        if options["fold"] is not None or options["folds"] is not None or options["hold_out"] == "none":
            raise TrainingError("Trainings of a search are judged by the groups in hold_out; leave fold and folds out.")
        return options

    def held(self, options: Mapping[str, Any]) -> list[str]:
        """Groups that trainings are judged by."""
        from tlseg.train.session import groups_of

        if options["hold_out"] is None:
            return groups_of(self.paths)[-1:]
        return [name.strip() for name in options["hold_out"].split(",")]

    def run(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        """Train once with these values; returns the best validation score."""
        import torch

        from tlseg.cli.progress import StepProgress
        from tlseg.errors import FailedTrainingError, TrainingError
        from tlseg.models.checkpoint import read_checkpoint

        folder.mkdir(parents=True, exist_ok=True)
        options, further = self._parsed(values, folder)
        if options["threads"]:
            torch.set_num_threads(options["threads"])
        held = self.held(options)
        try:
            settings = training.settings_of(self.network, options, further)
        except TrainingError as error:
            # Values that do not go together are a trial that failed; anything else that is wrong ends the search.
            raise FailedTrainingError(str(error)) from error
        session = self._session(settings, options, held=held)
        self.score_name = session.score_name
        with StepProgress(folder.name, session.settings.steps) as shown:

            def both(progress: Progress) -> None:
                shown.training(progress)
                report(progress)

            best = session.run(held, out=folder, report=both)
        return float(read_checkpoint(best).facts["score"])

    def _parsed(self, values: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options of a training, and settings only files have, as `tlseg train` reads them from `folder/config.yaml`."""
        import yaml

        from tlseg.predict.infer import resolve_device
        from tlseg.train.space import with_values

        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(with_values(self.fixed, values), sort_keys=False), encoding="utf-8")
        given = [self.network, str(self.data), "--out", str(folder), "--config", str(config)]
        with training.command.make_context("train", given) as context:
            return context.params | {"device": resolve_device(context.params["device"])}, context.obj or {}

    def _session(self, settings: TrainSettings, options: dict[str, Any], *, held: list[str]) -> Session:
        samples = settings.samples
        start = settings.architecture if options["init"] is not None else None
        alike = (settings.target, samples.spacing_um, samples.scaling, samples.simulated > 0, start)
        if alike not in self.sessions:
            self.sessions[alike] = training.session_of(
                self.network, settings, self.paths, options, out=self.out, held=held
            )
        return replace(self.sessions[alike], settings=settings)


def _check_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in EXTRA):
        raise missing_extra("tlseg tune", "train")
