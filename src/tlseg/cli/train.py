"""`tlseg train`: make a network's weights from images and instance labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import check_installed, device_option, json_option, one_line_errors, print_json, resumable
from tlseg.cli.param_types import SEED, FiniteRange, LocalPath, RequiredChoice, TripleType
from tlseg.errors import TlsegError, TrainingError
from tlseg.wording import how_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlseg.store.image.stacks import PairPath
    from tlseg.train.loop import Progress
    from tlseg.train.request import TrainRequest
    from tlseg.train.session import Session
    from tlseg.train.settings import TrainSettings

EXTRA = ("accelerate", "matplotlib", "tensorboard")
ONLY_IN_FILES = ("augment", "average", "clip", "momentum", "weight_decay")


class _UnusableFile(click.ClickException):
    """One line and exit code 2, as for other bad input."""

    exit_code = 2


def _configured(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Make the file's values the defaults of all other options."""
    if path is None:
        return None
    from tlseg.train.config import read_config

    try:
        context.default_map, context.obj = _split(read_config(path), context.command, where=str(path))
    except TlsegError as error:
        raise _UnusableFile(str(error)) from error
    return path


def _split(values: Mapping[str, Any], train: click.Command, *, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a file's values into those of options and those that only files have; raises a `TrainingError` for others."""
    from tlseg.train.config import AUGMENT, check_keys
    from tlseg.train.recipe import AUGMENTATIONS

    options = {str(p.name) for p in train.params if isinstance(p, click.Option) and p.name not in ("config", "as_json")}
    check_keys(values, {*options, *ONLY_IN_FILES}, where=where)
    named = (f"{AUGMENT}{name}" for name in values.get("augment") or {})
    check_keys(list(named), [f"{AUGMENT}{name}" for name in AUGMENTATIONS], where=where)
    typed = {key: _as_typed(value) for key, value in values.items() if key in options}
    return typed, {key: value for key, value in values.items() if key not in options}


def _as_typed(value: Any) -> Any:
    """Spell a list as on the command line."""
    return ",".join(str(v) for v in value) if isinstance(value, list | tuple) else value


@click.command("train")
@click.argument("network", type=RequiredChoice(["nsn", "ndn", "unet3d"]))
@click.argument("data", type=LocalPath())
@click.option("--out", type=LocalPath(), required=True, help="Folder for checkpoints, log and weights.")
@click.option(
    "--config",
    type=LocalPath(),
    is_eager=True,
    callback=_configured,
    help="TOML or YAML file with any of these options; the command line takes precedence.",
)
@click.option("--spacing", type=TripleType(float), help="Voxel size of DATA, um. [default: from the files]")
@click.option("--labels", help="Label image of OME-Zarr movies. [default: truth, nuclei or the only one]")
@click.option("--channel", help="Channel of OME-Zarr movies, by number or name. [default: the first]")
@click.option("--hold-out", help="Groups to validate on, separated by commas; `none` for none. [default: the last]")
@click.option("--fold", type=click.IntRange(1), metavar="K", help="Hold out the K-th group.")
@click.option("--folds", metavar="all|GROUP,...", help="Hold out one group after another, each into OUT/GROUP.")
@click.option("--init", metavar="MODEL|FILE", help="Start from the weights of a model, or of a training's best.pt.")
@click.option("--simulate", type=FiniteRange(0, 1), default=0.0, help="Share of crops from simulated embryos.")
@click.option("--steps", type=click.IntRange(1), default=3000, show_default=True, help="Training steps.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Crops per step (and GPU).")
@click.option("--crop", type=TripleType(int), default="32,64,64", show_default=True, help="Crop in voxels of the grid.")
@click.option(
    "--grid", type=TripleType(float), default="1.6,0.8,0.8", show_default=True, help="Voxel size to train at, um."
)
@click.option(
    "--scaling",
    type=click.Choice(["quantiles", "asinh", "extremes"]),
    default="quantiles",
    show_default=True,
    help="What becomes 0 and 1: median and 99.9th percentile (asinh: and bright values compressed), or the extremes.",
)
@click.option("--base", type=click.IntRange(1), help="Channels of the first convolution. [default: as published]")
@click.option(
    "--output",
    type=click.Choice(["sigmoid", "softmax"]),
    default="sigmoid",
    show_default=True,
    help="Activation of the last layer.",
)
@click.option(
    "--activation",
    type=click.Choice(["relu", "sigmoid"]),
    default="relu",
    show_default=True,
    help="Activation between layers.",
)
@click.option("--no-skip", is_flag=True, help="Leave out skip connections.")
@click.option(
    "--target", type=click.Choice(["mask", "centre", "ball"]), help="What to learn. [default: mask; ndn: centre]"
)
@click.option("--loss", help="Sum of bce, ce, dice, focal, mse. [default: bce+dice; ndn: bce]")
@click.option(
    "--optimizer", type=click.Choice(["adam", "adamw", "sgd"]), default="adam", show_default=True, help="Optimizer."
)
@click.option("--rate", type=FiniteRange(0, min_open=True), default=1e-3, show_default=True, help="Learning rate.")
@click.option(
    "--warmup", type=click.IntRange(0), default=50, show_default=True, help="Steps until the learning rate is reached."
)
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "constant", "linear", "poly"]),
    default="cosine",
    show_default=True,
    help="How the learning rate changes after the warmup.",
)
@click.option(
    "--precision", type=click.Choice(["bfloat16", "float32"]), help="Number format. [default: bfloat16; ndn: float32]"
)
@click.option(
    "--validate-every", type=click.IntRange(1), default=500, show_default=True, help="Steps between validations."
)
@click.option("--save-every", type=click.IntRange(1), default=100, show_default=True, help="Steps between checkpoints.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads. [default: all cores]")
@device_option
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same training.")
@json_option
@one_line_errors
@resumable
def command(network: str, data: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Train a network (nsn: nuclear regions, ndn: nuclear centres, unet3d: the baseline) on the pairs in DATA.

    DATA holds images/ and labels/ with TIFF stacks of the same names, OME-Zarr movies with labels, a Cell Tracking
    Challenge data set, or BBBC050's folders. An interrupted training continues where it left off. The best weights by
    validation (IoU, or detection F1 for ndn) are OUT/best.pt.
    """
    check_installed("tlseg train", EXTRA, extra="train")
    import torch

    from tlseg.train.processes import join

    request = request_of(network, options, click.get_current_context().obj or {})
    join(request.device)
    if request.threads:
        torch.set_num_threads(request.threads)
    settings, paths = request.settings(), request.pairs(data)
    if request.folds is None:
        _train_once(request, settings, paths, out=out, as_json=as_json)
    else:
        _train_folds(request, settings, paths, request.folds, out=out, as_json=as_json)


def _train_once(
    request: TrainRequest, settings: TrainSettings, paths: list[PairPath], *, out: Path, as_json: bool
) -> None:
    from tlseg.train.processes import is_first

    held = request.held(paths)
    session = session_of(request, settings, paths, out=out, held=held)
    watch = _Watch(settings.steps)
    with watch.training(f"train {request.network}") as report:
        best = session.run(held, out=out, report=report)
    if not is_first():
        return
    learned, judged = len(session.learned_from(held)), len(session.judged_by(held))
    if as_json:
        print_json({"weights": str(best), "pairs": learned, "validation_frames": judged, "held_out": held})
    else:
        watch.say_if_complete()
        by = f"validation stacks: {judged} of {', '.join(held)}" if held else "not validated"
        click.echo(f"Best weights: {best} (training stacks: {learned}; {by})")


def _train_folds(
    request: TrainRequest, settings: TrainSettings, paths: list[PairPath], text: str, *, out: Path, as_json: bool
) -> None:
    from dataclasses import asdict

    from tlseg.train.folds import chosen_groups, run_folds
    from tlseg.train.processes import is_first
    from tlseg.train.session import groups_of

    network, groups = request.network, chosen_groups(groups_of(paths), text)
    session = session_of(request, settings, paths, out=out, held=[])
    watch = _Watch(settings.steps)
    folds = run_folds(session, groups, out=out, watch=lambda group: watch.training(f"train {network} without {group}"))
    if not is_first():
        return
    if as_json:
        print_json({"network": network, "score": session.score_name, "folds": [asdict(fold) for fold in folds]})
        return
    watch.say_if_complete()
    for fold in folds:
        click.echo(f"{fold.group}: {session.score_name} {fold.score:.4f} at step {fold.step}, {fold.weights}")
    click.echo(
        f"Mean of {how_many(len(folds), 'fold')}: {sum(f.score for f in folds) / len(folds):.4f} ({out / 'folds.csv'})"
    )


def request_of_file(network: str, data: Path, out: Path, values: Mapping[str, Any], *, where: str) -> TrainRequest:
    """Return the request that this command makes of a file with these values.

    Raises
    ------
    TrainingError
        When it would refuse them; the message begins with `where` they are from.
    """
    defaults, further = _split(values, command, where=where)
    try:
        with command.make_context("train", [network, str(data), "--out", str(out)], default_map=defaults) as context:
            return request_of(network, context.params, further)
    except click.UsageError as error:
        raise TrainingError(f"{where}: {error.format_message()}") from error


def request_of(network: str, options: Mapping[str, Any], further: Mapping[str, Any]) -> TrainRequest:
    """Return the request made by the options of this command and by those that only files have."""
    from tlseg.predict.device import resolve_device
    from tlseg.train.request import TrainRequest
    from tlseg.train.settings import TrainSettings

    own = {f.name for f in fields(TrainSettings)}
    choices = {
        "skip": not options["no_skip"],
        "grid_um": options["grid"],
        "simulated": options["simulate"],
        **{name: options[name] for name in ("base", "output", "activation", "target", "loss", "crop", "scaling")},
        **{name: value for name, value in options.items() if name in own - {"target", "loss"}},
        **further,
    }
    held = options["hold_out"]
    return TrainRequest(
        network=network,  # type: ignore[arg-type]
        choices=choices,
        spacing_um=options["spacing"],
        labels=options["labels"],
        channel=options["channel"],
        hold_out=None if held is None else () if held == "none" else tuple(name.strip() for name in held.split(",")),
        fold=options["fold"],
        folds=options["folds"],
        init=options["init"],
        device=resolve_device(options["device"]),
        threads=options["threads"],
    )


def session_of(
    request: TrainRequest, settings: TrainSettings, paths: Sequence[PairPath], /, *, out: Path, held: Sequence[str]
) -> Session:
    """Read the data the trainings of this command learn from, and show the progress of simulating embryos."""
    from tlseg.cli.progress import StepProgress
    from tlseg.train.simulated import EMBRYOS

    if not settings.samples.simulated:
        return request.session(settings, paths, out=out, held=held)
    with StepProgress("simulate", EMBRYOS) as progress:
        return request.session(
            settings, paths, out=out, held=held, report=lambda done, _whole: progress.update(done, "stacks")
        )


@dataclass(slots=True)
class _Watch:
    """Shows trainings of so many `steps` each, and knows whether any of them had a step left to do."""

    steps: int
    learned: bool = False

    @contextmanager
    def training(self, what: str) -> Iterator[Callable[[Progress], None]]:
        from tlseg.cli.progress import StepProgress
        from tlseg.train.processes import is_first

        if not is_first():
            yield lambda _step: None
            return
        with StepProgress(what, self.steps) as progress:

            def report(step: Progress) -> None:
                self.learned = True
                progress.training(step)

            yield report

    def say_if_complete(self) -> None:
        if not self.learned:
            click.echo(f"Already complete at step {self.steps}; nothing was done.")
