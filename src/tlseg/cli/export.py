"""`tlseg export`: a result in the formats of other programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import click

from tlseg.cli.common import json_option, one_line_errors, print_json, storage_option

if TYPE_CHECKING:
    from tlseg.store.export.api import Format

# `tlseg.store.export.api.FORMATS` (not imported here, so that `--help` is instant), and what is computed for export alone.
FORMATS = ("ctc", "geff", "tiff", "csv", "ome-zarr-0.4", "napari", "criteria")


@click.command("export")
@click.argument("result")
@click.option("--format", "kind", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("--out", help="File or folder to make. [default: beside RESULT, named after it]")
@click.option("--name", default="nuclei", show_default=True, help="Name of the labels.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in the same format.")
@storage_option
@json_option
@one_line_errors
def command(
    result: str, kind: Format | Literal["criteria"], out: str | None, name: str, overwrite: bool, as_json: bool
) -> None:
    r"""Write RESULT, an OME-Zarr with labels and tracks, in another format.

    \b
    ctc           maskTTT.tif and res_track.txt of the Cell Tracking Challenge
    geff          the lineage graph alone
    tiff          a label stack per frame, for Fiji
    csv           the table, units in the header
    criteria      tables of frames, tracks, divisions and generations
    ome-zarr-0.4  image and labels for readers that do not know 0.5 yet
    napari        rows of a tracks layer, as CSV
    """
    from tlseg.cli.progress import counted
    from tlseg.store.export.api import export

    with counted("export") as progress:
        if kind == "criteria":
            _export_criteria(result, out=out, name=name, overwrite=overwrite, as_json=as_json, progress=progress)
            return
        done = export(result, kind, out=out, name=name, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    click.echo(f"{done.path}: {done.items} {done.unit}" + ("" if done.unit == "frames" else f", {done.frames} frames"))
    for note in done.notes:
        click.echo(f"Note: {note}")


def _export_criteria(
    result: str, *, out: str | None, name: str, overwrite: bool, as_json: bool, progress: Callable[[int, int], None]
) -> None:
    from tlseg.report.criteria_files import write_criteria

    done = write_criteria(result, name=name, out=out, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(done.to_dict())
    else:
        click.echo(f"{done.path}: " + ", ".join(f"{n} {kind}" for kind, n in done.rows.items()))
