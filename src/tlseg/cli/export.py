"""`tlseg export`: a result in the formats of other programs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tlseg.cli.common import json_option, one_line_errors, print_json

if TYPE_CHECKING:
    from tlseg.store.export import Format

# As `tlseg.store.export.FORMATS`, which is not imported here so that `--help` is instant.
FORMATS = ("ctc", "geff", "tiff", "csv", "ome-zarr-0.4", "napari")


@click.command("export")
@click.argument("result")
@click.option("--format", "kind", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("--out", help="File or folder to make. [default: beside RESULT, named after it]")
@click.option("--name", default="nuclei", show_default=True, help="Name of the labels.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in the same format.")
@json_option
@one_line_errors
def command(result: str, kind: Format, out: str | None, name: str, overwrite: bool, as_json: bool) -> None:
    r"""Write RESULT, an OME-Zarr with labels and tracks, in another format.

    \b
    ctc           maskTTT.tif and res_track.txt of the Cell Tracking Challenge
    geff          the lineage graph alone
    tiff          a label stack per frame, for Fiji
    csv           the table, units in the header
    ome-zarr-0.4  image and labels for readers that do not know 0.5 yet
    napari        rows of a tracks layer, as CSV
    """
    from tlseg.cli.progress import RunProgress
    from tlseg.run.events import Event
    from tlseg.store.export import export

    with RunProgress() as shown:
        done = export(
            result,
            kind,
            out=out,
            name=name,
            overwrite=overwrite,
            progress=lambda done, total: shown(Event("export", done, total)),
        )
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    click.echo(f"{done.path}: {done.items} {done.unit}" + ("" if done.unit == "frames" else f", {done.frames} frames"))
    for note in done.notes:
        click.echo(f"Note: {note}")
