"""`tlseg segment`: labels, tracks and tables for a whole movie."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import (
    TripleType,
    goes_on_when_stopped,
    how_many,
    instances_in,
    json_option,
    missing_option,
    one_line_errors,
    print_json,
    say_motherless,
    storage_option,
)
from tlseg.cli.compute_options import compute_of, compute_options
from tlseg.cli.link_options import link_options, link_settings


@click.command("segment")
@click.argument("movie")
@click.option("--out", help="Write the result here instead of into the movie (OME-Zarr 0.5).")
@click.option("--name", default="nuclei", show_default=True, help="Name of the labels.")
@click.option("--model", default="embryo", show_default=True, help="Bundled model, or folder of one.")
@click.option("--frames", metavar="A:B", help="Frames to segment. [default: all]")
@click.option(
    "--skip-frames",
    metavar="A,B:C",
    help="Frames to leave empty, such as blank or corrupted ones. Tracks continue across them.",
)
@click.option(
    "--block", type=TripleType(int), help="Core of a block in voxels, multiples of 16. [default: fits memory]"
)
@compute_options
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--method", type=click.Choice(["qcanet", "components"]), default="qcanet", show_default=True)
@click.option(
    "--flips", type=click.Choice(["1", "4", "8"]), help="Average over mirrored windows. [default: from the model]"
)
@click.option("--channel", help="Channel by number or name. [default: the first]")
@click.option(
    "--repair/--no-repair",
    default=True,
    show_default=True,
    help="Repair frames in which nuclei are merged or cut, where neighbouring frames show it.",
)
@link_options
@click.option("--overwrite", is_flag=True, help="Replace labels of this name; discard an unfinished run.")
@click.option("--keep-maps", is_flag=True, help="Keep the probability maps in tlseg/NAME/maps.")
@click.option("--no-image", is_flag=True, help="With --out, do not copy the image.")
@missing_option
@click.option(
    "--scratch", metavar="DIR", help="Folder for working files that all workers can see. [default: with the result]"
)
@storage_option
@json_option
@one_line_errors
@goes_on_when_stopped
def command(movie: str, as_json: bool, **options: Any) -> None:
    """Segment and track every nucleus of MOVIE, an OME-Zarr movie (t, c, z, y, x).

    Labels are added to the movie, or written with a copy of it to --out. Repeat the command to continue a stopped run where
    it left off; a complete run is left unchanged.
    """
    from tlseg.cli.progress import RunProgress
    from tlseg.measure.doubts import doubts_of
    from tlseg.report.facts import channel_of, seam_verdict
    from tlseg.run.request import Request
    from tlseg.run.segment import do_request
    from tlseg.store.image.movie import open_source

    source = open_source(movie)
    if options["channel"] is None and len(names := source.channel_names) > 1:
        click.echo(f"{len(names)} channels ({', '.join(names)}): using the first. Choose with --channel.", err=True)
    if source.spacing_note:
        click.echo(f"Note: {source.spacing_note}.", err=True)
    request = Request(
        movie=movie,
        out=options["out"],
        name=options["name"],
        model=options["model"],
        frames=options["frames"],
        skip_frames=options["skip_frames"],
        block=options["block"],
        method=options["method"],
        channel=options["channel"],
        overwrite=options["overwrite"],
        keep_maps=options["keep_maps"],
        flips=int(options["flips"]) if options["flips"] else None,  # type: ignore[arg-type]
        image=not options["no_image"],
        allow_missing=options["allow_missing"],
        link=link_settings(options),
        repair=options["repair"],
        scratch=options["scratch"],
    )
    compute = compute_of(options, device=options["device"])
    with RunProgress() as progress:
        summary = do_request(request, compute, listener=progress)
    if as_json:
        print_json(summary.to_dict())
        return
    if summary.complete_already:
        click.echo(
            "Already complete; nothing was done. (Settings, weights and the movie's first frame are unchanged; --overwrite "
            "starts over.)"
        )
    audit = summary.audit
    blocks = f"; {audit['certified_at_first_try']} of {audit['blocks']} blocks certified at the first try"
    channel = channel_of(summary.record)
    took = (
        f"{'took ' if summary.complete_already else ''}{summary.seconds:.0f} s{', resumed' if summary.resumed else ''}"
    )
    click.echo(
        f"{instances_in(summary.nuclei, summary.frames)}"
        f"{f' of channel {channel}' if channel else ''}, {how_many(summary.tracks, 'track')}, "
        f"{how_many(summary.divisions, 'division')} ({took})."
    )
    say_motherless(summary.tracks, summary.motherless, at_edge=summary.motherless_at_edge, more=", see the report")
    for doubt in doubts_of(summary.record, model=options["model"]):
        click.echo(f"Note: {doubt}")
    click.echo(f"Seams: {seam_verdict(audit)}{blocks if audit['blocks'] else ''}.")
    click.echo(f"Labels: {summary.path}/labels/{summary.name}")
