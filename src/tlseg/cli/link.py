"""`tlseg link`: tracks for labels or points from any source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import (
    json_option,
    one_line_errors,
    print_json,
    say_motherless,
    say_next_of_result,
    say_notes,
    storage_option,
)
from tlseg.cli.compute_options import compute_options
from tlseg.cli.label_options import image_options, label_arguments, name_options, say_found
from tlseg.cli.link_options import link_options, link_settings

if TYPE_CHECKING:
    from tlseg.run.linking.linked import Linked


@click.command("link")
@click.argument("labels")
@click.option(
    "--out", help="Result: an OME-Zarr, or a folder for points. [default: beside the labels in their OME-Zarr]"
)
@name_options("tracked")
@link_options
@click.option(
    "--repair/--no-repair",
    default=False,
    show_default=True,
    help="Repair nuclei merged or cut in single frames, as tlseg segment does.",
)
@image_options
@compute_options
@storage_option
@json_option
@one_line_errors
def command(labels: str, as_json: bool, **options: Any) -> None:
    """Track the nuclei of LABELS through time, whatever program made them.

    LABELS is a label movie: an OME-Zarr with labels, a TIFF, a folder of TIFFs with one frame each, or a Cell Tracking
    Challenge folder. Its label numbers need not correspond between frames. Or it is a CSV or parquet table with columns
    t, z, y, x (frames and micrometres) and, if known, label, volume and intensity; or the CSV that tlseg export made.
    """
    from tlseg.store.labels.points import is_points

    settings = link_settings(options)
    done = _points(labels, settings, options) if is_points(labels) else _labels(labels, settings, options)
    if as_json:
        print_json(done.to_dict())
        return
    say_found(done)
    more = "" if is_points(labels) else ", see the report"
    say_motherless(done.tracks, done.motherless, at_edge=done.motherless_at_edge, more=more)
    say_notes(done.notes)
    click.echo(f"{'Tracks' if is_points(labels) else f'Labels {done.name!r}'}: {done.path}")
    if not is_points(labels):
        say_next_of_result(options["out"] or done.path, name=done.name)


def _labels(labels: str, settings: Any, options: dict[str, Any]) -> Linked:
    from tlseg.cli.progress import RunProgress
    from tlseg.run.linking.labels import link_labels

    with RunProgress() as progress:
        return link_labels(
            labels, **label_arguments(options), settings=settings, repair=options["repair"], listener=progress
        )


def _points(points: str, settings: Any, options: dict[str, Any]) -> Linked:
    from tlseg.cli.progress import counted
    from tlseg.run.linking.points import link_points

    given = [f"--{name.replace('_name', '').replace('_', '-')}" for name in _FOR_LABELS if options[name]]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} can only be used with label movies; {points} is a table of points in micrometres."
        )
    if options["out"] is None:
        raise click.UsageError("Points need --out FOLDER, where tracks.geff and the table with tracks are written.")
    with counted("link") as progress:
        return link_points(
            points,
            out=options["out"],
            settings=settings,
            interval_s=options["interval"],
            overwrite=options["overwrite"],
            progress=progress,
        )


_FOR_LABELS = (
    *("name", "labels_name", "axes", "spacing", "channel", "no_image", "repair"),
    *("workers", "scheduler", "cluster", "tls_ca", "tls_cert", "tls_key", "memory_limit"),
)
