"""`tlseg correct`: apply corrections that a person wrote to labels whose numbers are tracks."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import json_option, one_line_errors, storage_option
from tlseg.cli.compute_options import compute_options
from tlseg.cli.label_options import image_options, label_arguments, name_options, print_adopted


@click.command("correct")
@click.argument("labels")
@click.argument("corrections")
@click.option(
    "--parents",
    metavar="FILE",
    help="Mothers before any correction, as for tlseg adopt. [default: track file or graph stored with LABELS]",
)
@click.option("--out", help="Result: an OME-Zarr. [default: beside the labels in their OME-Zarr]")
@name_options("corrected")
@image_options
@compute_options
@storage_option
@json_option
@one_line_errors
def command(labels: str, corrections: str, as_json: bool, **options: Any) -> None:
    """Apply CORRECTIONS to LABELS, whose numbers are tracks, and write a result of its own.

    CORRECTIONS is a table (CSV) with the columns action, track, first, last, other and at. Actions are remove, join, split,
    swap, separate, divide and mother. The labels are only read: add a line and run it again with --overwrite.
    """
    from tlseg.cli.progress import RunProgress
    from tlseg.run.linking.correct import correct_labels

    with RunProgress() as progress:
        done = correct_labels(
            labels, corrections, parents=options["parents"], **label_arguments(options), listener=progress
        )
    print_adopted(done, out=options["out"], as_json=as_json)
