"""`tlseg demo`: the first thing a newcomer runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from tlseg.cli.common import json_option, one_line_errors, print_json, resumable
from tlseg.cli.param_types import SEED, LocalPath
from tlseg.wording import how_many

MADE_BY = "tlseg demo"


@click.command("demo")
@click.argument("folder", type=LocalPath(), default="tlseg-demo", metavar="[DIR]")
@click.option("--frames", type=click.IntRange(1), default=10, show_default=True, help="Time points to simulate.")
@click.option("--nuclei", type=click.IntRange(1), default=8, show_default=True, help="Nuclei in the first frame.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Same seed, same movie.")
@json_option
@one_line_errors
@resumable
def command(folder: Path, frames: int, nuclei: int, seed: int, as_json: bool) -> None:
    """Simulate a small embryo movie, segment and track it with the bundled weights, score it and draw it into DIR."""
    from tlseg.cli.progress import RunProgress
    from tlseg.evaluate.api import evaluate
    from tlseg.geometry import Box
    from tlseg.installed import install_command, this_command
    from tlseg.report.facts import seam_verdict
    from tlseg.report.overlay import overlay_movie, save_png
    from tlseg.report.write import write_report
    from tlseg.run.segment import segment
    from tlseg.simulate.api import simulate
    from tlseg.simulate.settings import SimulationSettings
    from tlseg.store.image.movie import open_source
    from tlseg.store.labels.label_movie import open_label_movie

    began = time.monotonic()
    check_folder(folder)
    movie, result, picture = folder / "movie.ome.zarr", folder / "result.ome.zarr", folder / "overlay.png"
    check_movie(movie)
    check_result(result, movie)
    check_picture(picture)
    make_folder(folder)
    # Divisions every twenty frames or so: some fall into a movie of ten.
    settings = SimulationSettings(frames=frames, start_nuclei=nuclei, cycle_frames=20.0, seed=seed)
    click.echo(f"Simulating {how_many(frames, 'frame')} of an embryo ...", err=True)
    made = simulate(movie, settings, overwrite=True, made_by=MADE_BY)
    with RunProgress() as progress:
        summary = segment(movie, out=result, overwrite=True, listener=progress)
    scores = evaluate(result, movie, tracking="always").to_dict()

    source, labels = open_source(movie), open_label_movie(result)
    shown = sorted({round(i * (frames - 1) / min(9, max(1, frames - 1))) for i in range(min(10, frames))})
    whole = Box.of_shape(source.frame_shape)
    pictures: Any = ((t, source.read(t, whole), labels.read(t, whole)) for t in shown)
    drawn = overlay_movie(pictures, spacing_um=source.spacing_um, interval_s=source.interval_s)
    save_png(picture, drawn, made_by=MADE_BY)

    report = write_report(result)
    seconds = time.monotonic() - began
    if as_json:
        print_json(
            {
                "movie": str(movie),
                "result": str(result),
                "overlay": str(picture),
                "report": str(report.path),
                "truth": made.to_dict(),
                "summary": summary.to_dict(),
                "scores": scores,
                "seconds": seconds,
            }
        )
        return
    tracking, tlseg = scores["tracking"], this_command()
    click.echo(f"Nuclei per frame, truth:  {' '.join(map(str, made.nuclei or ()))}")
    click.echo(f"Nuclei per frame, result: {' '.join(str(f['n_result']) for f in scores['frames'])}")
    if frames > 1:
        click.echo(f"Tracks: {summary.tracks} (truth {made.tracks}), divisions: {summary.divisions} ({made.divisions})")
    click.echo(f"IoU {scores['iou']:.3f}  SEG {scores['seg']:.3f}  MUCov {scores['mucov']:.3f}  F1 {scores['f1']:.3f}")
    if frames > 1:
        click.echo(f"DET {tracking['det']:.3f}  TRA {tracking['tra']:.3f}")
    click.echo(
        f"Seams: {seam_verdict(summary.audit)}. Done in {seconds:.0f} s.\n\n"
        f"Picture: {picture}\n"
        f"Report:  {report.path} (open it in a browser)\n"
        f"Result:  {result} (OME-Zarr 0.5: image, labels/nuclei, tables/nuclei, tracks.geff)\n"
        "To view it in your browser or in napari:\n"
        f"  {install_command('view')} && {tlseg} view {result}\n"
        f"  {install_command('napari')} && {tlseg} view {result} --viewer napari\n"
        "To score it:\n"
        f"  {tlseg} evaluate {result} {movie}"
    )


def check_folder(folder: Path) -> None:
    """Raise `MovieError` if files would be put into somebody's movie."""
    from tlseg.errors import MovieError
    from tlseg.store.image.inputs import is_zarr

    whole = folder.absolute()
    for part in (whole, *whole.parents):
        if is_zarr(part):
            raise MovieError(
                f"{part} is a Zarr group, and the demo adds nothing to one. Choose another folder; to segment a movie: "
                f"tlseg segment {part}"
            )


def make_folder(folder: Path) -> None:
    """Create it if it does not exist; raises `MovieError` if it cannot be created."""
    from tlseg.errors import MovieError
    from tlseg.store.fs.refused import refusal

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"{folder} cannot be created ({error.strerror})"
        raise refusal(error, found, instead="Choose another folder.", kind=MovieError) from error


def check_movie(movie: Path) -> None:
    """Raise `MovieError` if a movie would be lost that no demo simulated."""
    from tlseg.errors import MovieError
    from tlseg.simulate.api import simulated_by
    from tlseg.store.fs.place import place_of

    if os.path.lexists(movie) and simulated_by(place_of(movie)) != MADE_BY:
        raise MovieError(f"{movie} was not made by tlseg demo, so it is not replaced. Choose another folder.")


def check_result(result: Path, movie: Path) -> None:
    """Raise `LabelError` if a result would be lost that was not made from this demo's movie."""
    from tlseg.errors import LabelError
    from tlseg.store.fs.place import place_of
    from tlseg.store.labels.protect import read_claim
    from tlseg.store.working.folder import scratch_folder
    from tlseg.store.working.scratch import Scratch

    root = place_of(result)
    begun = read_claim(root) or Scratch.at(scratch_folder(root, "nuclei", None)).fingerprint()
    ours = (
        not set(root.names()) - {"tlseg"} if begun is None else begun.get("input", {}).get("url") == place_of(movie).url
    )
    if not ours:
        raise LabelError(f"{result} was not made by this demo, so it is not replaced. Choose another folder.")


def check_picture(picture: Path) -> None:
    """Raise `LabelError` if a picture would be lost that no demo drew."""
    from tlseg.errors import LabelError
    from tlseg.report.overlay import maker_of

    if os.path.lexists(picture) and maker_of(picture) != MADE_BY:
        raise LabelError(f"{picture} was not made by tlseg demo, so it is not replaced. Choose another folder.")
