"""`tlseg segment`: labels, tracks and tables for a whole movie."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import (
    json_option,
    one_line_errors,
    print_json,
    resumable,
    say_motherless,
    say_next_of_result,
    say_notes,
    storage_option,
    what_was_found,
)
from tlseg.cli.compute_options import compute_of, compute_options
from tlseg.cli.link_options import link_options, link_settings
from tlseg.cli.run_options import run_arguments, run_options
from tlseg.wording import how_many


@click.command("segment")
@click.argument("movie")
@click.option("--out", help="Write the result here instead of into the movie (OME-Zarr 0.5).")
@click.option("--name", default="nuclei", show_default=True, help="Name of the labels.")
@run_options
@click.option(
    "--skip-frames",
    metavar="A,B:C",
    help="Frames to leave empty, such as blank or corrupted ones. Tracks continue across them.",
)
@compute_options
@click.option(
    "--repair/--no-repair",
    default=True,
    show_default=True,
    help="Repair frames in which nuclei are merged or cut, where neighbouring frames show it.",
)
@link_options
@click.option("--overwrite", is_flag=True, help="Replace labels of this name; discard an unfinished run.")
@click.option("--keep-maps", is_flag=True, help="Keep the probability maps in tlseg/NAME/maps.")
@click.option(
    "--scratch", metavar="DIR", help="Folder for working files that all workers can see. [default: with the result]"
)
@storage_option
@json_option
@one_line_errors
@resumable
def command(movie: str, as_json: bool, **options: Any) -> None:
    """Segment and track every nucleus of MOVIE, an OME-Zarr movie (t, c, z, y, x).

    Labels are added to the movie, or written with a copy of it to --out. Repeat the command to continue a stopped run where
    it left off; a complete run is left unchanged.
    """
    from tlseg.cli.progress import RunProgress
    from tlseg.measure.doubts import doubts_of
    from tlseg.report.facts import channel_of, seam_verdict
    from tlseg.run.request import Request
    from tlseg.run.segment import segment_request
    from tlseg.store.image.movie import open_source

    source = open_source(movie)
    if options["channel"] is None and len(names := source.channel_names) > 1:
        click.echo(f"{len(names)} channels ({', '.join(names)}): using the first. Choose with --channel.", err=True)
    if source.spacing_note:
        click.echo(f"Note: {source.spacing_note}.", err=True)
    request = Request(
        movie=movie,
        **run_arguments(options),
        name=options["name"],
        skip_frames=options["skip_frames"],
        overwrite=options["overwrite"],
        keep_maps=options["keep_maps"],
        link=link_settings(options),
        repair=options["repair"],
        scratch=options["scratch"],
    )
    compute = compute_of(options, device=options["device"])
    with RunProgress() as progress:
        summary = segment_request(request, compute, listener=progress)
    if as_json:
        print_json(summary.to_dict())
        return
    if summary.complete_already:
        click.echo(
            "Already complete; nothing was done. (Settings, weights and the movie's first frame are unchanged; --overwrite "
            "starts over.)"
        )
    audit = summary.audit
    blocks = f"; {audit['certified_at_first_try']} of {how_many(audit['blocks'], 'block')} certified at the first try"
    found = what_was_found(
        summary.nuclei,
        summary.frames,
        tracks=summary.tracks,
        divisions=summary.divisions,
        channel=channel_of(summary.record),
    )
    took = (
        f"{'took ' if summary.complete_already else ''}{summary.seconds:.0f} s{', resumed' if summary.resumed else ''}"
    )
    click.echo(f"{found} ({took}).")
    say_motherless(summary.tracks, summary.motherless, at_edge=summary.motherless_at_edge, more=", see the report")
    say_notes(doubts_of(summary.record, model=options["model"]))
    click.echo(f"Seams: {seam_verdict(audit)}{blocks if audit['blocks'] else ''}.")
    click.echo(f"Labels: {summary.path}/labels/{summary.name}")
    say_next_of_result(options["out"] or movie, name=summary.name)
