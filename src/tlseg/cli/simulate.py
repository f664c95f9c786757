"""`tlseg simulate`: write a synthetic embryo movie with exact labels and lineage."""

from __future__ import annotations

import sys
from typing import Any

import click

from tlseg.cli.common import TripleType, json_option, one_line_errors, print_json


@click.command("simulate")
@click.argument("out", metavar="OUT.ome.zarr")
@click.option("--frames", type=int, default=10, show_default=True, help="Time points.")
@click.option("--nuclei", type=int, default=4, show_default=True, help="Nuclei in the first frame.")
@click.option("--shape", type=TripleType(int), default=(51, 128, 128), help="Voxels of a frame. [default: 51,128,128]")
@click.option(
    "--spacing", type=TripleType(float), default=(1.75, 0.8, 0.8), help="Voxel size in um. [default: 1.75,0.8,0.8]"
)
@click.option("--interval", type=float, default=600.0, show_default=True, help="Seconds between frames.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same movie.")
@click.option("--overwrite", is_flag=True, help="Replace a simulated movie that is there already.")
@json_option
@one_line_errors
def command(
    out: str,
    frames: int,
    nuclei: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    interval: float,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a synthetic embryo movie with exact labels (`labels/truth`) and lineage (`tracks.geff`)."""
    from tlseg.simulate.api import simulate
    from tlseg.simulate.settings import SimulationSettings

    settings = SimulationSettings(
        frames=frames,
        start_nuclei=nuclei,
        shape=shape,
        spacing_um=spacing,
        interval_s=interval,
        seed=seed,
    )
    result = simulate(out, settings, overwrite=overwrite, progress=_report)
    if as_json:
        print_json(result)
    else:
        click.echo(_sentence(result))


def _report(done: int, whole: int) -> None:
    """Count frames on one line of a terminal; say nothing where nobody watches."""
    if sys.stderr.isatty():
        click.echo(f"\rSimulating frame {done} of {whole}", nl=done == whole, err=True)


def _sentence(result: dict[str, Any]) -> str:
    nuclei = result["nuclei"]
    return (
        f"{result['path']}: {result['frames']} frames, {nuclei[0]} to {nuclei[-1]} nuclei, {result['tracks']} tracks, "
        f"{result['divisions']} divisions. Truth: labels/truth, tables/truth, tracks.geff."
    )
