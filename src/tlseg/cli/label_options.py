"""Options of commands that read label movies, and what they print at the end, the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import no_image_option, option_group, print_json, say_next_of_result, say_notes, what_was_found
from tlseg.cli.compute_options import compute_arguments
from tlseg.cli.param_types import FiniteRange, SpacingType

if TYPE_CHECKING:
    from tlseg.run.linking.linked import Linked

axes_option = click.option(
    "--axes", metavar="TYX", help="Axes of a plain TIFF or zarr array, slowest first. [default: as named, or ZYX, TZYX]"
)

image_options = option_group(
    axes_option,
    click.option("--spacing", type=SpacingType(), help="Voxel size in micrometres. [default: from the files]"),
    click.option("--interval", type=FiniteRange(0, min_open=True), metavar="S", help="Seconds between frames."),
    click.option("--channel", help="Channel of the image to measure, by number or name. [default: the first]"),
    no_image_option,
    click.option("--overwrite", is_flag=True, help="Replace labels, table and tracks of this name."),
)


def name_options(beside: str) -> Callable[[Any], Any]:
    """Options for the labels to read and the name of the result; `beside` is its suffix beside the given labels."""
    return option_group(
        click.option(
            "--name", help=f"Name of the {beside} labels. [default: that of LABELS, or NAME-{beside} beside them]"
        ),
        click.option("--labels", "labels_name", help="Label image of an OME-Zarr that has several."),
    )


def label_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return these options, and where the work is done, as arguments of `link_labels`, `adopt_labels`, `correct_labels`."""
    return {
        "out": options["out"],
        "name": options["name"],
        "labels_name": options["labels_name"],
        "axes": options["axes"],
        "spacing_um": options["spacing"],
        "interval_s": options["interval"],
        "channel": options["channel"],
        "image": not options["no_image"],
        "overwrite": options["overwrite"],
        **compute_arguments(options),
    }


def say_found(done: Linked) -> None:
    """Print how many nuclei and tracks there are."""
    found = what_was_found(done.nuclei, done.frames, tracks=done.tracks, divisions=done.divisions, gaps=done.gaps)
    click.echo(f"{found} ({done.seconds:.0f} s).")


def print_adopted(done: Linked, *, out: str | None, as_json: bool) -> None:
    """Print what came of labels whose numbers are tracks; `out` is the result as it was given."""
    if as_json:
        print_json(done.to_dict())
        return
    say_found(done)
    if done.motherless:
        click.echo(f"Tracks that begin mid-movie without a mother: {done.motherless} of {done.tracks}.")
    say_notes(done.notes)
    click.echo(f"Labels {done.name!r}: {done.path}")
    say_next_of_result(out or done.path, name=done.name)
