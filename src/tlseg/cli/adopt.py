"""`tlseg adopt`: make a result from labels whose numbers are already tracks."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import (
    json_option,
    one_line_errors,
    print_json,
    say_next_of_result,
    say_notes,
    storage_option,
)
from tlseg.cli.label_options import image_options, label_arguments, name_options, say_found


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
    if as_json:
        print_json(done.to_dict())
        return
    say_found(done)
    if done.motherless:
        click.echo(f"Tracks that begin mid-movie without a mother: {done.motherless} of {done.tracks}.")
    say_notes(done.notes)
    click.echo(f"Labels {done.name!r}: {done.path}")
    say_next_of_result(options["out"] or done.path, name=done.name)
