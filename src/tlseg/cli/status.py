"""`tlseg status`: the state of a run, or how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlseg.cli.common import frame_ranges, json_option, name_option, one_line_errors, print_json, storage_option
from tlseg.cli.progress import in_words, per_second
from tlseg.wording import how_many

if TYPE_CHECKING:
    from tlseg.run.watch.status import RunStatus


@click.command("status")
@click.argument("result")
@name_option
@storage_option
@json_option
@one_line_errors
def command(result: str, name: str | None, as_json: bool) -> None:
    """Show the state of the run that writes RESULT: running, died, stopped or complete.

    Reads only what the run stores with its result, so it works from any machine and disturbs nothing.
    """
    from tlseg.run.watch.status import run_status

    status = run_status(result, name=name)
    if as_json:
        print_json(status.to_dict())
        return
    click.echo(_headline(status))
    for stage in status.stages:
        share = 100 * stage.done / stage.total if stage.total else 100.0
        voxels = f", {per_second(stage.voxels_per_s, 'voxels')}" if stage.voxels_per_s else ""
        click.echo(f"  {stage.stage:<10} {stage.done:>9} of {stage.total:<9} {share:5.1f} %{voxels}")
    if status.gpu_busy is not None:
        click.echo(f"Networks: busy {100 * status.gpu_busy:.0f} % of the time.")
    if status.retries:
        click.echo(f"Regions redone: {status.retries}.")
    if any(status.repairs.values()):
        apart, joined = (status.repairs.get(kind, 0) for kind in ("merged", "cut"))
        click.echo(
            f"Repairs: {how_many(apart, 'merged label')} split, {how_many(joined, 'nucleus', 'nuclei')} joined from pieces."
        )
    if status.last_error and not _by_a_person(status):
        click.echo(f"Last error: {status.last_error}")
    for kind, ranges in status.viewable.items():
        click.echo(f"Frames ready to view, {kind} labels: {frame_ranges(ranges)} (tlseg view {result}).")
    if status.working_labels and status.viewable:
        click.echo(f"Provisional labels: {status.working_labels}")
    if status.dashboard:
        click.echo(f"Dashboard: {status.dashboard}")


def _headline(status: RunStatus) -> str:
    frames = f"{status.frames_done} of {how_many(status.frames_total, 'frame')}"
    silent = (
        f"last sign of life {in_words(status.silent_s)} ago" if status.silent_s is not None else "no sign of life yet"
    )
    if status.state == "running":
        left = f", {in_words(status.seconds_left)} left" if status.seconds_left else ""
        return f"Running ({status.owner}): {frames}{left}; {silent}."
    if status.state == "complete":
        return f"Complete: {frames}."
    said = "Died" if status.state == "died" else "Stopped by Ctrl-C" if _by_a_person(status) else "Stopped"
    return f"{said} ({frames}; {silent}). Run the same command again to continue."


def _by_a_person(status: RunStatus) -> bool:
    from tlseg.run.watch.event_log import BY_A_PERSON

    return status.last_error == BY_A_PERSON
