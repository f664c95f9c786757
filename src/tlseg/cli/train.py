"""`tlseg train`: make a network's weights from pairs of images and instance labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tlseg.cli.common import TripleType, json_option, one_line_errors, print_json


@click.command("train")
@click.argument("network", type=click.Choice(["nsn", "ndn", "unet3d"]))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for checkpoints, log and weights.")
@click.option("--steps", type=click.IntRange(1), default=3000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Crops per step.")
@click.option("--base", type=click.IntRange(1), help="Channels of the first convolution; default as published.")
@click.option("--crop", type=TripleType(int), default="32,64,64", show_default=True, help="Crop in voxels.")
@click.option("--loss", help="Sum of bce, dice, mse, focal. [default: bce+dice; ndn: bce]")
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True, help="Learning rate.")
@click.option("--optimizer", type=click.Choice(["adam", "adamw", "sgd"]), default="adam", show_default=True)
@click.option("--precision", type=click.Choice(["bfloat16", "float32"]), default="bfloat16", show_default=True)
@click.option(
    "--spacing", type=TripleType(float), default="1.75,0.8,0.8", show_default=True, help="Voxels of DATA, um."
)
@click.option("--hold-out", default="Emb11", show_default=True, help="Groups to validate on, separated by commas.")
@click.option("--validate-every", type=click.IntRange(1), default=500, show_default=True, help="Steps.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads. [default: all cores]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
@one_line_errors
def command(network: str, data: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Train NETWORK (nsn: nuclear regions, ndn: nuclear centres, unet3d: the baseline) on the pairs in DATA.

    DATA holds images/ and labels/ with TIFF stacks of the same names, or BBBC050's folders. A training that was
    interrupted goes on where it was. The best weights by validation (IoU, or detection F1 for ndn) are OUT/best.pt.
    """
    import torch

    from tlseg.cli.progress import StepProgress
    from tlseg.models.bundle import ModelSpec, NetworkSpec, Role
    from tlseg.models.unet import NDN, NSN, UNET3D
    from tlseg.predict.infer import resolve_device
    from tlseg.store.stacks import find_pairs, read_stack
    from tlseg.train.loop import TrainSettings, train
    from tlseg.train.samples import SampleSettings, Target, load_pair
    from tlseg.train.validate import validator

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    device = resolve_device(options["device"])
    architecture = {"nsn": NSN, "ndn": NDN, "unet3d": UNET3D}[network]
    if options["base"]:
        architecture = replace(architecture, base=options["base"])
    role: Role = "ndn" if network == "ndn" else "nsn"
    target: Target = "centre" if network == "ndn" else "mask"
    settings = TrainSettings(
        architecture=architecture,
        target=target,
        steps=options["steps"],
        batch=options["batch"],
        loss=options["loss"] or ("bce" if network == "ndn" else "bce+dice"),
        optimizer=options["optimizer"],
        rate=options["rate"],
        precision=options["precision"],
        seed=options["seed"],
        validate_every=options["validate_every"],
        samples=SampleSettings(crop=options["crop"]),
    )
    held = options["hold_out"].split(",")
    paths = find_pairs(data)
    spacing = options["spacing"]
    learned = [load_pair(p, target=target, spacing_um=spacing) for p in paths if p.group not in held]
    frames = [(read_stack(p.image), read_stack(p.labels)) for p in paths if p.group in held]
    spec = ModelSpec(
        name="in-training",
        networks={role: NetworkSpec(architecture, "", (64, 128, 128), (16, 16, 16))},
        spacing_um=settings.samples.spacing_um,
    )
    with StepProgress(f"train {network}", settings.steps) as progress:
        best = train(
            learned,
            settings,
            out=out,
            validate=validator(role, frames, spec=spec, spacing_um=spacing, device=device),
            report=progress.training,
            device=device,
        )
    if as_json:
        print_json({"weights": str(best), "pairs": len(learned), "validation_frames": len(frames)})
    else:
        click.echo(f"Best weights: {best}")
