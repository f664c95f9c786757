"""`tlseg convert`: TIFFs, microscopes' own files or another OME-Zarr to an OME-Zarr 0.5 movie, once."""

from __future__ import annotations

import click

from tlseg.cli.common import (
    frame_size,
    frame_spacing,
    json_option,
    missing_option,
    one_line_errors,
    print_json,
    say_next_of_movie,
    say_notes,
    storage_option,
)
from tlseg.cli.param_types import FiniteRange, SpacingType
from tlseg.wording import how_many


@click.command("convert")
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.argument("out", metavar="OUT.ome.zarr")
@click.option("--spacing", type=SpacingType(), help="Voxel size in micrometres. [default: from the file]")
@click.option("--interval", type=FiniteRange(0, min_open=True), help="Seconds between frames.")
@click.option("--axes", metavar="TZYX", help="Axes of the pages of a plain TIFF, slowest first: ZYX, TYX, TZYX, ...")
@click.option("--planes", type=click.IntRange(min=1), help="Planes per time point of a plain multi-page TIFF.")
@click.option("--channels", type=click.IntRange(min=1), help="Channels of a plain multi-page TIFF.")
@click.option("--scene", help="Movie of a microscope's file that holds several, by name or number from 0.")
@click.option("--channel-names", metavar="A,B", help="Names of the channels.")
@click.option("--overwrite", is_flag=True, help="Replace an OME-Zarr at OUT.")
@click.option("--allow-gaps", is_flag=True, help="Treat files with gaps in their numbering as evenly spaced in time.")
@missing_option
@storage_option
@json_option
@one_line_errors
def command(
    inputs: tuple[str, ...],
    out: str,
    spacing: tuple[float, ...] | None,
    interval: float | None,
    axes: str | None,
    planes: int | None,
    channels: int | None,
    scene: str | None,
    channel_names: str | None,
    overwrite: bool,
    allow_missing: bool,
    allow_gaps: bool,
    as_json: bool,
) -> None:
    """Convert TIFFs, a folder of stacks, a microscope's own file, or an OME-Zarr to an OME-Zarr 0.5 movie.

    IN is one TIFF (a stack or a movie), several TIFFs or a folder of them with one time point each (in natural order:
    t2 before t10; gaps in the numbering are refused), one OME-Zarr 0.4 or 0.5, or one CZI, LIF, ND2 or other file that
    an installed plugin of BioIO reads (extra: microscopes).
    """
    from tlseg.cli.progress import counted
    from tlseg.store.image.convert import convert
    from tlseg.store.image.tiff import Layout

    with counted("convert") as progress:
        done = convert(
            inputs,
            out,
            spacing_um=spacing,
            interval_s=interval,
            layout=Layout(axes.upper() if axes else None, planes, channels),
            scene=scene,
            channel_names=[name.strip() for name in channel_names.split(",")] if channel_names else None,
            overwrite=overwrite,
            allow_missing=allow_missing,
            allow_gaps=allow_gaps,
            progress=progress,
        )
    if as_json:
        print_json(done.to_dict())
        return
    t, c, z, y, x = done.shape
    shape = f"{how_many(t, 'frame')}, {how_many(c, 'channel')}, {frame_size((z, y, x), is_2d=done.is_2d)}"
    click.echo(f"{done.path}: {shape}, {done.dtype}, {how_many(done.levels, 'level')}")
    every = "unknown interval" if done.interval_s is None else f"every {done.interval_s:g} s"
    click.echo(f"spacing {frame_spacing(done.spacing_um, is_2d=done.is_2d)}, {every}")
    say_notes(done.notes)
    say_next_of_movie(out)
