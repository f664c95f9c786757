"""`tlseg tune`: search training settings for the best validation score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli import train as training
from tlseg.cli.common import check_installed, json_option, one_line_errors, print_json, resumable
from tlseg.cli.param_types import SEED, LocalPath
from tlseg.wording import how_many

if TYPE_CHECKING:
    from tlseg.train.request import TrainRequest
    from tlseg.train.trainings import Ask
    from tlseg.train.tune import Report, Tried

EXTRA = ("accelerate", "matplotlib", "optuna", "tensorboard")


@click.command("tune")
@click.argument("data", type=LocalPath())
@click.option("--out", type=LocalPath(), required=True, help="Folder for the search and its trainings.")
@click.option("--config", type=LocalPath(), required=True, help="TOML or YAML file with a table [search].")
@click.option(
    "--trials", type=click.IntRange(1), default=20, show_default=True, help="Trainings, including earlier ones."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the search.")
@json_option
@one_line_errors
@resumable
def command(data: Path, out: Path, config: Path, trials: int, seed: int, as_json: bool) -> None:
    """Search for the settings that train best on the pairs in DATA.

    The file sets `network` (nsn, ndn or unet3d) and anything `tlseg train --config` takes; its table [search] names what to
    search over: a list of choices, or { low = 1e-4, high = 1e-2, log = true }. Trainings that fall behind are given up, and
    a stopped search continues where it left off. OUT/best.yaml is a configuration for tlseg train.
    """
    check_installed("tlseg tune", EXTRA, extra="train")
    from tlseg.train.config import read_config
    from tlseg.train.space import read_space
    from tlseg.train.trainings import Trainings
    from tlseg.train.tune import best_of, tune
    from tlseg.train.tune_record import write_search

    fixed = read_config(config)
    network, space = str(fixed.pop("network", "nsn")), read_space(fixed.pop("search", None))
    trainings = Trainings(_asker(network, data, fixed, config=config), data, out, _watch, training.session_of)
    trainings.check(space)

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
        click.echo(f"Best of {how_many(len(tried), 'trial')}: {trainings.score_name} {best.score:.4f} with {values}")
    click.echo(f"Table and picture: {out / 'trials.csv'}, {out / 'study.png'}")
    click.echo(f"Train with it: tlseg train {network} {data} --out ... --config {out / 'best.yaml'}")


def _asker(network: str, data: Path, fixed: Mapping[str, Any], *, config: Path) -> Ask:
    """Ask for a training as `tlseg train` does of `folder/config.yaml`, which is kept there; `config` is the search's."""
    import yaml

    from tlseg.train.space import with_values

    def ask(values: Mapping[str, Any], folder: Path) -> TrainRequest:
        whole = with_values(fixed, values)
        (folder / "config.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
        return training.request_of_file(network, data, folder, whole, where=str(config))

    return ask


@contextmanager
def _watch(name: str, steps: int) -> Iterator[Report]:
    from tlseg.cli.progress import StepProgress

    with StepProgress(name, steps) as progress:
        yield progress.training
