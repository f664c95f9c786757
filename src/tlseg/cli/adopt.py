"""`tlseg adopt`: make a result from labels whose numbers are already tracks."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import json_option, one_line_errors, storage_option
from tlseg.cli.compute_options import compute_options
from tlseg.cli.label_options import image_options, label_arguments, name_options, print_adopted


@click.command("adopt")
@click.argument("labels")
@click.option(
    "--parents",
    metavar="FILE",
    help="Mothers of tracks: a table with track,parent; a track file (L B E P); a GEFF graph; or a result. [default: track "
    "file or graph stored with LABELS]",
)
@click.option("--out", help="Result: an OME-Zarr. [default: beside the labels in their OME-Zarr]")
@name_options("adopted")
@image_options
@compute_options
@storage_option
@json_option
@one_line_errors
def command(labels: str, as_json: bool, **options: Any) -> None:
    """Use the numbers of LABELS as tracks, and write a table, the lineage and a run record.

    For labels that were corrected by hand or tracked by another program: the same number in several frames is one nucleus,
    and no number changes. LABELS is a label movie as for tlseg link, which instead tracks nuclei from scratch.
    """
    from tlseg.cli.progress import RunProgress
    from tlseg.run.linking.adopt import adopt_labels

    with RunProgress() as progress:
        done = adopt_labels(labels, parents=options["parents"], **label_arguments(options), listener=progress)
    print_adopted(done, out=options["out"], as_json=as_json)
