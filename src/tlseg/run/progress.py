"""How much there is to do in each stage, and how much an earlier start has done.

Counted from the tables of the working files, so that a run that continues reports how far it really is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlseg import __version__
from tlseg.measure.doubts import doubt_of_size
from tlseg.models.derive import nucleus_um
from tlseg.run.context import Output, RunContext
from tlseg.run.nucleus import SeenNucleus
from tlseg.run.planning import PlannedRun
from tlseg.run.repair import repairs_of
from tlseg.run.resume import Start
from tlseg.run.tasks.flow import Pool
from tlseg.run.watch.events import Counters, Notice
from tlseg.store.locks.owner import this_process
from tlseg.store.working.names import Stage, Table, predicted


def expect_label(run: RunContext, counters: Counters) -> None:
    """Announce the stages up to measured, provisional labels; all of them wait for the networks."""
    frames, blocks, voxels = len(run.frames), len(run.grid), _voxels(run)
    windows = sum(len(run.lattice(role)) for role in run.roles)
    computed = sum(_done(run, predicted(role)) for role in run.roles)
    counters.expect(Stage.PREDICT, frames * windows, done=computed, voxels=voxels)
    counters.expect(Stage.DETECT, frames * blocks, done=_done(run, Table.DETECT), voxels=voxels, waits=True)
    whole = run.settings.method == "components"  # which floods a frame at once
    flooded = blocks * _done(run, Table.COMPONENTS) if whole else _done(run, Table.FLOOD)
    counters.expect(Stage.FLOOD, frames * blocks, done=flooded, voxels=voxels, waits=True)
    counters.expect(Stage.MEASURE, frames * blocks, done=_done(run, Table.MEASURE), voxels=voxels, waits=True)
    counters.expect(Stage.SUMMARISE, frames, done=_done(run, Table.OBJECTS), voxels=voxels, waits=True)


def expect_repair(run: RunContext, counters: Counters) -> None:
    """Announce repairs, where there are any."""
    total = sum(repairs_of(run, frame) for frame in run.frames)
    if total:
        counters.expect(Stage.REPAIR, total, done=_done(run, Table.PATCH))


def expect_write(run: RunContext, output: Output, counters: Counters) -> None:
    """Announce the writing of final labels."""
    regions = len(output.labels.regions)
    counters.expect(Stage.WRITE, len(run.frames) * regions, done=_done(run, Table.WRITE), voxels=_voxels(run))


def say_started(start: Start, pool: Pool, counters: Counters) -> None:
    """Write who does what into the event log, and tell the user where to look."""
    run = start.planned.run
    counters.log.say(
        "run_started",
        tlseg=__version__,
        owner=this_process().to_dict(),
        frames=len(run.frames),
        resumed=start.resumed,
        changed=list(start.changed),
        device=run.device,
        block=list(run.block),
        slots={"network": pool.slots("network"), "core": pool.slots("core")},
        dashboard=pool.dashboard or None,
        working_files=run.scratch.folder,
    )
    if start.changed:
        counters.listener(
            Notice(
                f"Continuing with other settings of linking or repair: {'; '.join(start.changed)}. Labels are kept; repairs "
                "and tracks are redone."
            )
        )
    if pool.dashboard:
        counters.listener(Notice(f"Dashboard: {pool.dashboard}"))


def say_size(seen: SeenNucleus, planned: PlannedRun, counters: Counters) -> None:
    """Tell the user before networks run if nuclei look larger or smaller than those the model knows."""
    doubt = doubt_of_size(
        median_um=None,
        seen_um=seen.width_um,
        seen_in=seen.frame,
        learned_um=nucleus_um(planned.run.spec.spacing_um),
        model=str(planned.checked.request.model),
    )
    if doubt is not None:
        counters.listener(Notice(doubt))


def say_finished(record: Mapping[str, Any], counters: Counters) -> None:
    """Write the outcome into the event log."""
    counts = ("frames", "nuclei", "tracks", "divisions", "seconds")
    counters.log.say("run_finished", **{name: record[name] for name in counts})


def _done(run: RunContext, table: str) -> int:
    return sum(len(run.scratch.done(table, frame)) for frame in run.frames)


def _voxels(run: RunContext) -> int:
    z, y, x = run.source.frame_shape
    return len(run.frames) * z * y * x
