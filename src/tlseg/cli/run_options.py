"""Options for what a run does to a movie, with the same meaning where it is planned and where it is done."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import device_option, missing_option, no_image_option, option_group
from tlseg.cli.param_types import FiniteRange, TripleType


def _number(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    return None if text is None else int(text)


run_options = option_group(
    click.option("--model", default="embryo", show_default=True, help="Bundled model, or folder of one."),
    click.option("--frames", metavar="A:B", help="Frames to segment. [default: all]"),
    click.option(
        "--block", type=TripleType(int), help="Core of a block in voxels, multiples of 16. [default: to fit memory]"
    ),
    device_option,
    click.option(
        "--method",
        type=click.Choice(["qcanet", "components"]),
        default="qcanet",
        show_default=True,
        help="One nucleus per centre, or connected regions without centres, for comparison.",
    ),
    click.option(
        "--flips",
        type=click.Choice(["1", "4", "8"]),
        callback=_number,
        help="Mirrored copies of each window to average over. [default: from the model]",
    ),
    click.option(
        "--nucleus-um",
        metavar="UM",
        type=FiniteRange(0, min_open=True),
        help="Usual width of the nuclei; the model is scaled to it. [default: that of the nuclei it learned from]",
    ),
    click.option("--channel", help="Channel by number or name. [default: the first]"),
    no_image_option,
    missing_option,
)


def run_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return these options, and `--out`, as arguments of `plan_run` and fields of `Request`."""
    same = ("out", "model", "frames", "block", "method", "channel", "flips", "nucleus_um", "allow_missing")
    return {"image": not options["no_image"], **{name: options[name] for name in same}}
