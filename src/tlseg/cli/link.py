"""`tlseg link`: tracks for labels or points from any source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import (
    FiniteRange,
    SpacingType,
    how_many,
    instances_in,
    json_option,
    one_line_errors,
    print_json,
    say_motherless,
    storage_option,
)
from tlseg.cli.link_options import link_options, link_settings

if TYPE_CHECKING:
    from tlseg.run.linking.linked import Linked


@click.command("link")
@click.argument("labels")
@click.option(
    "--out", help="Result: an OME-Zarr, or a folder for points. [default: beside the labels in their OME-Zarr]"
)
@click.option("--name", help="Name of the tracked labels. [default: that of LABELS, or NAME-tracked beside them]")
@click.option("--labels", "labels_name", help="Label image of an OME-Zarr that has several.")
@link_options
@click.option(
    "--repair/--no-repair",
    default=False,
    show_default=True,
    help="Repair nuclei merged or cut in single frames, as tlseg segment does.",
)
@click.option("--spacing", type=SpacingType(), help="Voxel size in micrometres. [default: from the files]")
@click.option("--interval", type=FiniteRange(0, min_open=True), metavar="S", help="Seconds between frames.")
@click.option("--channel", help="Channel of the image to measure, by number or name. [default: the first]")
@click.option("--no-image", is_flag=True, help="With --out, do not copy the image.")
@click.option("--overwrite", is_flag=True, help="Replace labels, table and tracks of this name.")
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
    click.echo(
        f"{instances_in(done.nuclei, done.frames)}, {how_many(done.tracks, 'track')}, "
        f"{how_many(done.divisions, 'division')}, {how_many(done.gaps, 'gap')} ({done.seconds:.0f} s)."
    )
    more = "" if is_points(labels) else ", see the report"
    say_motherless(done.tracks, done.motherless, at_edge=done.motherless_at_edge, more=more)
    for note in done.notes:
        click.echo(f"Note: {note}")
    click.echo(f"{'Tracks' if is_points(labels) else f'Labels {done.name!r}'}: {done.path}")


def _labels(labels: str, settings: Any, options: dict[str, Any]) -> Linked:
    from tlseg.cli.progress import RunProgress
    from tlseg.run.linking.labels import link_labels

    with RunProgress() as progress:
        return link_labels(
            labels,
            out=options["out"],
            name=options["name"],
            labels_name=options["labels_name"],
            spacing_um=options["spacing"],
            interval_s=options["interval"],
            channel=options["channel"],
            image=not options["no_image"],
            settings=settings,
            repair=options["repair"],
            overwrite=options["overwrite"],
            listener=progress,
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


_FOR_LABELS = ("name", "labels_name", "spacing", "channel", "no_image", "repair")
