"""`tlseg models`: which models there are and what is known about them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tlseg.cli.calibrate import command as calibrate
from tlseg.cli.common import json_option, one_line_errors, print_json
from tlseg.cli.param_types import FiniteRange, LocalPath
from tlseg.wording import how_many


@click.group("models", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List, show and make models; list them if no subcommand is given."""
    if context.invoked_subcommand is None:
        context.invoke(list_models, as_json=as_json)
    elif as_json:
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


command.add_command(calibrate)


@command.command("list")
@json_option
@one_line_errors
def list_models(as_json: bool) -> None:
    """List the bundled models."""
    from tlseg.models.bundle import bundled_models, load_model

    found = [load_model(name) for name in bundled_models()]
    if as_json:
        print_json({"models": [{"name": m.spec.name, "folder": str(m.folder), "digest": m.digest} for m in found]})
        return
    for model in found:
        click.echo(f"{model.spec.name}: {model.spec.description}")


@command.command("show", short_help="Show all that is known about a model.")
@click.argument("name")
@json_option
@one_line_errors
def show(name: str, as_json: bool) -> None:
    """Show all that is known about a bundled model, or about a folder that holds one."""
    from tlseg.models.bundle import load_model
    from tlseg.models.unet import UNet, count_parameters

    model = load_model(name)
    values = model.spec.to_dict() | {
        "folder": str(model.folder),
        "digest": model.digest,
        "parameters": {role: count_parameters(UNet(n.architecture)) for role, n in model.spec.networks.items()},
    }
    if as_json:
        print_json(values)
        return
    click.echo(_as_yaml(values), nl=False)


def _as_yaml(values: dict[str, Any]) -> str:
    """YAML for people: texts in lists have lines of their own, numbers share one."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
            numbers = all(isinstance(item, int | float) for item in sequence)
            return super().represent_sequence(tag, sequence, flow_style=numbers)

    return str(yaml.dump(json.loads(json.dumps(values)), Dumper=Dumper, sort_keys=False, width=math.inf))


@command.command("pack", short_help="Make a model from training checkpoints.")
@click.argument("folder", type=LocalPath())
@click.option("--name", required=True, help="Name of the model.")
@click.option("--nsn", type=LocalPath(), help="best.pt of the NSN training.")
@click.option("--ndn", type=LocalPath(), help="best.pt of the NDN training. [default: none, for --method components]")
@click.option("--model", "base", help="Model that the network not given, and all settings, come from.")
@click.option("--settings", type=LocalPath(), help="JSON file with further fields of model.json.")
@json_option
@one_line_errors
def pack_model(folder: Path, as_json: bool, **options: Any) -> None:
    """Make the model FOLDER from training checkpoints of NSN and, unless it is for --method components, of NDN.

    If only one of the two was fine-tuned, --model names the model that it began as.
    """
    from tlseg.errors import ModelError
    from tlseg.models.bundle import load_model
    from tlseg.models.derive import check_new
    from tlseg.models.pack import check_settings, pack

    check_new(folder)
    settings: dict[str, Any] = {}
    if options["settings"]:
        try:
            settings = json.loads(options["settings"].read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"{options['settings']} cannot be read as JSON: {error}.") from error
        check_settings(settings, where=str(options["settings"]))
    model = pack(
        folder,
        name=options["name"],
        nsn=options["nsn"],
        ndn=options["ndn"],
        model=load_model(options["base"]) if options["base"] else None,
        **{"provenance": {}, **settings},
    )
    if as_json:
        print_json({"folder": str(model.folder), "digest": model.digest})
        return
    click.echo(f"{model.folder}: {model.spec.name}, sha256 {model.digest}")
    if "ndn" not in model.spec.networks:
        click.echo("Without NDN, use it with: tlseg segment --method components")
    elif not options["settings"]:
        origin = f"those of {options['base']}" if options["base"] else "defaults"
        click.echo(
            f"The labelling settings are {origin}; to choose them on your own held-out embryos, run:\n"
            f"  tlseg models calibrate {model.folder} DATA --groups HELD_OUT --out {model.folder}-calibrated"
        )


@command.command("rescale", short_help="Copy a model for smaller or larger nuclei.")
@click.argument("name")
@click.option(
    "--factor",
    type=FiniteRange(0, min_open=True),
    help="Width of the nuclei relative to those the model learned from.",
)
@click.option(
    "--nucleus-um", type=FiniteRange(0, min_open=True), metavar="UM", help="Usual width of the nuclei, instead."
)
@click.option("--out", type=LocalPath(), required=True, help="Folder of the new model.")
@json_option
@one_line_errors
def rescale(name: str, factor: float | None, nucleus_um: float | None, out: Path, as_json: bool) -> None:
    """Make a copy of a model for smaller or larger nuclei, such as --factor 0.25 for nuclei a quarter as wide.

    tlseg segment --nucleus-um does the same for one run; a copy can be trained further.

    Its grid, distances and minimum volumes are scaled so that nuclei look to the networks as wide as those they know.
    """
    from tlseg.models.bundle import load_model
    from tlseg.models.derive import for_nuclei, rescaled, save_derived

    model = load_model(name)
    if factor is not None and nucleus_um is None:
        spec = replace(rescaled(model.spec, factor), name=f"{model.spec.name}-x{factor:g}")
    elif nucleus_um is not None and factor is None:
        spec = replace(for_nuclei(model.spec, nucleus_um), name=f"{model.spec.name}-{nucleus_um:g}um")
    else:
        raise click.UsageError("Give either --factor or --nucleus-um.")
    made = save_derived(out, model, spec)
    if as_json:
        print_json({"folder": str(made.folder), "digest": made.digest, "spacing_um": list(made.spec.spacing_um)})
    else:
        grid = ", ".join(f"{s:g}" for s in made.spec.spacing_um)
        click.echo(f"{made.folder}: {made.spec.name} on a grid of {grid} um (z, y, x)")


@command.command("import", short_help="Make a model from published QCANet weights.")
@click.argument("nsn", type=LocalPath())
@click.argument("ndn", type=LocalPath(), required=False)
@click.option("--out", type=LocalPath(), default="qcanet", show_default=True, help="Folder of the model.")
@click.option("--name", help="Name of the model. [default: that of the folder]")
@json_option
@one_line_errors
def import_published(nsn: Path, ndn: Path | None, out: Path, name: str | None, as_json: bool) -> None:
    """Make a model from published QCANet weights: Chainer's learned_nsn.npz and learned_ndn.npz, or PyTorch files.

    The networks give the same output as the originals. Without NDN, the model is for --method components.
    """
    from tlseg.models.imported import import_model

    model = import_model(out, nsn=nsn, ndn=ndn, name=name or out.name)
    if as_json:
        print_json({"folder": str(model.folder), "digest": model.digest})
        return
    for role, network in model.spec.networks.items():
        shape = network.architecture
        click.echo(
            f"{role}: {how_many(shape.levels, 'level')}, base {shape.base}, kernel {shape.kernel}, {shape.output} output"
        )
    click.echo(f"{model.folder}: {model.spec.name}, sha256 {model.digest}")
