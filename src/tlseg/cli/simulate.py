"""`tlseg simulate`: write a synthetic embryo movie with exact labels and lineage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import json_option, one_line_errors, print_json, say_next_of_movie, storage_option
from tlseg.cli.param_types import SEED, FiniteRange, TripleType
from tlseg.wording import how_many

if TYPE_CHECKING:
    from tlseg.simulate.api import Simulated

SCENES = ("embryo", "blastocyst", "sheet", "tissue")


@click.command("simulate")
@click.argument("out", metavar="OUT.ome.zarr")
@click.option(
    "--scene",
    type=click.Choice(SCENES),
    default="embryo",
    show_default=True,
    help="An embryo; one that grows from 2 nuclei to a blastocyst; a sheet of nuclei; tissue packed with them.",
)
@click.option("--frames", type=int, help="Time points. [default: 10; blastocyst: 500; tissue: 1]")
@click.option("--nuclei", type=int, help="Nuclei in the first frame. [default: 4; blastocyst: 2; sheet: 200]")
@click.option(
    "--cycle",
    type=FiniteRange(0, min_open=True),
    metavar="FRAMES",
    help="Mean frames between two divisions. [default: depends on the scene]",
)
@click.option("--shape", type=TripleType(int), help="Voxels of a frame. [default: 51,128,128; sheet: 15,256,256]")
@click.option(
    "--spacing", type=TripleType(float), default=(1.75, 0.8, 0.8), help="Voxel size in um. [default: 1.75,0.8,0.8]"
)
@click.option(
    "--interval", type=FiniteRange(0, min_open=True), default=600.0, show_default=True, help="Seconds between frames."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same movie.")
@click.option("--overwrite", is_flag=True, help="Replace an existing simulated movie.")
@storage_option
@json_option
@one_line_errors
def command(out: str, scene: str, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Write a synthetic movie with exact labels (`labels/truth`) and lineage (`tracks.geff`)."""
    from tlseg.cli.progress import counted

    with counted("simulate") as progress:
        if scene == "tissue":
            result = _tissue(out, options, overwrite=overwrite, progress=progress)
        else:
            result = _movie(out, scene, options, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(_sentence(result))
        say_next_of_movie(out)


def _movie(
    out: str, scene: Any, options: dict[str, Any], *, overwrite: bool, progress: Callable[[int, int], None]
) -> Simulated:
    from tlseg.simulate.api import simulate
    from tlseg.simulate.scenes import scene_settings

    fields = {
        "frames": options["frames"],
        "start_nuclei": 200 if scene == "sheet" and options["nuclei"] is None else options["nuclei"],
        "cycle_frames": options["cycle"],
        "shape": options["shape"] if scene != "sheet" else options["shape"] or (15, 256, 256),
        "spacing_um": options["spacing"],
        "interval_s": options["interval"],
        "seed": options["seed"],
    }
    settings = scene_settings(scene, **{name: value for name, value in fields.items() if value is not None})
    return simulate(out, settings, overwrite=overwrite, progress=progress)


def _tissue(out: str, options: dict[str, Any], *, overwrite: bool, progress: Callable[[int, int], None]) -> Simulated:
    from tlseg.simulate.api import simulate_dense
    from tlseg.simulate.dense import DenseSettings

    given = [f"--{name}" for name in ("nuclei", "cycle") if options[name] is not None]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} cannot be used with tissue: it is full of nuclei, and none divides."
        )
    settings = DenseSettings(
        shape=options["shape"] or (51, 128, 128),
        frames=1 if options["frames"] is None else options["frames"],
        seed=options["seed"],
    )
    return simulate_dense(
        out,
        settings,
        spacing_um=options["spacing"],
        interval_s=options["interval"],
        overwrite=overwrite,
        progress=progress,
    )


def _sentence(result: Simulated) -> str:
    if result.nuclei is None:
        return f"{result.path}: {how_many(result.frames, 'frame')}. Truth: labels/truth."
    first, last = result.nuclei[0], result.nuclei[-1]
    found = [how_many(last, "nucleus", "nuclei") if first == last else f"{first} to {last} nuclei"]
    if result.frames > 1:
        found += [how_many(result.tracks or 0, "track"), how_many(result.divisions or 0, "division")]
    return (
        f"{result.path}: {how_many(result.frames, 'frame')}, {', '.join(found)}. "
        "Truth: labels/truth, tables/truth, tracks.geff."
    )
