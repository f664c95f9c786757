"""`tlseg measure`: add the intensities of other channels to the nucleus table of a result."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import (
    instances_in,
    json_option,
    missing_option,
    name_option,
    one_line_errors,
    print_json,
    resumable,
    say_notes,
    storage_option,
)
from tlseg.cli.compute_options import compute_of, compute_options
from tlseg.wording import how_many


@click.command("measure")
@click.argument("result")
@click.option(
    "--image",
    metavar="MOVIE",
    help="OME-Zarr movie with the channels. [default: image of RESULT, or the movie it was made from]",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    help="Channel by number or name; can be repeated. [default: every channel]",
)
@click.option("--prefix", metavar="NAME", help="Call the columns intensity_mean_NAME_CHANNEL, and so on.")
@click.option("--overwrite", is_flag=True, help="Replace columns of the same names that are of another movie.")
@name_option
@compute_options
@missing_option
@click.option("--scratch", metavar="DIR", help="Folder for working files. [default: with the result]")
@storage_option
@json_option
@one_line_errors
@resumable
def command(result: str, as_json: bool, **options: Any) -> None:
    """Add the intensities of the movie's channels to the nucleus table of RESULT, which must be finished.

    Each channel adds the columns intensity_mean_CHANNEL and intensity_sum_CHANNEL. They replace those of an earlier
    measurement of the same movie; all other columns stay unchanged. If it is stopped, the same command continues.
    """
    from tlseg.cli.progress import RunProgress
    from tlseg.run.measuring.channels import MeasureRequest, measure_request

    request = MeasureRequest(
        result=result,
        image=options["image"],
        channels=options["channels"] or None,
        name=options["name"],
        prefix=options["prefix"],
        overwrite=options["overwrite"],
        allow_missing=options["allow_missing"],
        scratch=options["scratch"],
    )
    with RunProgress() as progress:
        done = measure_request(request, compute_of(options, device="cpu"), listener=progress)
    if as_json:
        print_json(done.to_dict())
        return
    click.echo(
        f"{how_many(len(done.channels), 'channel')} ({', '.join(done.channels)}) of {done.image}: "
        f"{instances_in(done.nuclei, done.frames)} ({done.seconds:.0f} s{', resumed' if done.kept_frames else ''})."
    )
    say_notes(done.notes)
    click.echo(f"Columns: {', '.join(done.columns)}")
    click.echo(f"Table {done.name!r}: {done.path}")
