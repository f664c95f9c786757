"""`tlseg plan`: what a run would do, without doing it."""

from __future__ import annotations

from typing import Any

import click

from tlseg.cli.common import (
    frame_size,
    frame_spacing,
    json_option,
    memory_option,
    one_line_errors,
    print_json,
    say_notes,
    storage_option,
)
from tlseg.cli.run_options import run_arguments, run_options
from tlseg.wording import how_many


@click.command("plan")
@click.argument("movie")
@click.option("--out", help="Plan a separate result instead of labels in the movie.")
@run_options
@click.option("--workers", type=click.IntRange(0), default=0, help="Worker processes on this machine.")
@memory_option
@storage_option
@json_option
@one_line_errors
def command(movie: str, as_json: bool, **options: Any) -> None:
    """Show the blocks, tasks, memory and disk space of segmenting MOVIE; fail if it will not fit."""
    from tlseg.plan import sized
    from tlseg.run.planning import plan_run

    found = plan_run(
        movie,
        **run_arguments(options),
        workers=options["workers"],
        device=options["device"],
        memory_limit=options["memory_limit"],
    )
    if as_json:
        print_json(found.to_dict())
        return
    plan = found.plan
    size, spacing = frame_size(plan.frame_shape, is_2d=found.is_2d), frame_spacing(found.spacing_um, is_2d=found.is_2d)
    click.echo(f"{how_many(plan.frames, 'frame')} of {size}, {spacing}")
    click.echo(f"Blocks:  {plan.blocks_per_frame} per frame, core {plan.block}, first halo {plan.halo_voxels} voxels")
    windows = ", ".join(f"{role} {n}" for role, n in plan.windows_per_frame.items())
    click.echo(f"Windows: {windows} per frame, on {found.device}")
    click.echo(f"Tasks:   {plan.total_tasks} ({', '.join(f'{stage} {n}' for stage, n in plan.tasks.items())})")
    click.echo(
        f"Memory:  {sized(plan.memory_per_worker_bytes)} per worker, of {sized(plan.memory_limit_bytes)} it may use"
    )
    image = f", {sized(plan.image_bytes)} of the image" if plan.image_bytes else ""
    click.echo(
        f"Disk:    {sized(plan.output_bytes - plan.image_bytes)} of labels{image} and {sized(plan.scratch_bytes)} of "
        "working files, before compression"
    )
    say_notes(found.notes)
