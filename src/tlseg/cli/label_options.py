"""Options about label movies that somebody gives, and what is said of them afterwards: one meaning wherever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tlseg.cli.common import FiniteRange, SpacingType, how_many, instances_in

if TYPE_CHECKING:
    from tlseg.run.linking.linked import Linked

C = TypeVar("C", bound=Callable[..., Any])

_IMAGE_OPTIONS = (
    click.option("--spacing", type=SpacingType(), help="Voxel size in micrometres. [default: from the files]"),
    click.option("--interval", type=FiniteRange(0, min_open=True), metavar="S", help="Seconds between frames."),
    click.option("--channel", help="Channel of the image to measure, by number or name. [default: the first]"),
    click.option("--no-image", is_flag=True, help="With --out, do not copy the image."),
    click.option("--overwrite", is_flag=True, help="Replace labels, table and tracks of this name."),
)


def name_options(beside: str) -> Callable[[C], C]:
    """Which labels are read, and what the result's are called: beside those given, as they are and `beside`."""

    def add(command: C) -> C:
        labels = click.option("--labels", "labels_name", help="Label image of an OME-Zarr that has several.")
        name = click.option(
            "--name", help=f"Name of the {beside} labels. [default: that of LABELS, or NAME-{beside} beside them]"
        )
        return name(labels(command))

    return add


def image_options(command: C) -> C:
    """Spacing, interval and image of the labels, and whether a result is replaced."""
    for option in reversed(_IMAGE_OPTIONS):
        command = option(command)
    return command


def label_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """What the options say, and `--out`, as functions take it."""
    return {
        "out": options["out"],
        "name": options["name"],
        "labels_name": options["labels_name"],
        "spacing_um": options["spacing"],
        "interval_s": options["interval"],
        "channel": options["channel"],
        "image": not options["no_image"],
        "overwrite": options["overwrite"],
    }


def say_found(done: Linked) -> None:
    """Say how many nuclei and tracks there are."""
    click.echo(
        f"{instances_in(done.nuclei, done.frames)}, {how_many(done.tracks, 'track')}, "
        f"{how_many(done.divisions, 'division')}, {how_many(done.gaps, 'gap')} ({done.seconds:.0f} s)."
    )


def say_notes(done: Linked) -> None:
    """Say what to know about it."""
    for note in done.notes:
        click.echo(f"Note: {note}")
