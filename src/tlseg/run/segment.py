"""Segment a movie, from the check of its input to `complete: true`.

Bad input leaves nothing behind: every frame is checked before the first is labelled. Intermediate files are in a scratch
folder; labels, tables and tracks are listed only when they are complete; a second start continues where the first was
stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlseg.config import Frames, Method, SkippedFrames
from tlseg.errors import MovieError, RunError
from tlseg.geometry import Shape
from tlseg.link.settings import LinkSettings
from tlseg.models.bundle import Flips
from tlseg.predict.device import Device
from tlseg.predict.normalise import FrameStatistics
from tlseg.run import finish, stages
from tlseg.run import repair as repairs
from tlseg.run.audit import check_audit, seam_audit
from tlseg.run.checks import check_access, check_existing, check_scratch
from tlseg.run.complete import finished_run
from tlseg.run.context import RunContext
from tlseg.run.frames import FrameFlows, create_arrays, forget_unmeasurable
from tlseg.run.nucleus import SeenNucleus, seen_nucleus
from tlseg.run.planning import PlannedRun, plan_for
from tlseg.run.progress import expect_label, expect_repair, expect_write, say_finished, say_size, say_started
from tlseg.run.publish import open_output, publish
from tlseg.run.request import CheckedRequest, Request, check
from tlseg.run.resume import begin, can_resume, check_settings, reopened, store_statistics, stored_statistics
from tlseg.run.tasks.cluster import Tls
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.failures import describe_error
from tlseg.run.tasks.flow import Flow, Pool, Task
from tlseg.run.tasks.pools import open_pool
from tlseg.run.tasks.work import Work
from tlseg.run.watch.event_log import log_of
from tlseg.run.watch.events import Counters, Listener, silent
from tlseg.store.labels.label_group import absent, clear, prepare_root
from tlseg.store.labels.record import write_record
from tlseg.store.locks.lock import check_free, lock_of
from tlseg.store.working.names import Stage
from tlseg.store.working.scratch import LostWorkError

if TYPE_CHECKING:
    from distributed import Client

GOES_ON = "What is done is kept; run the same command again to continue."


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run: where, how much, and how it was certified; for one already complete, what its own record says."""

    path: str
    name: str
    frames: int
    nuclei: int
    tracks: int
    divisions: int
    motherless: int
    motherless_at_edge: int
    fallback: int
    repaired: int
    audit: Mapping[str, Any]
    seconds: float
    resumed: bool
    complete_already: bool
    record: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: getattr(self, key) for key in self.__slots__ if key != "record"}


def segment(
    movie: str | Path,
    *,
    out: str | Path | None = None,
    name: str = "nuclei",
    model: str | Path = "embryo",
    frames: Frames | None = None,
    skip_frames: SkippedFrames | None = None,
    block: Shape | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    client: Client | None = None,
    cluster: str | Path | Mapping[str, Any] | None = None,
    tls: Tls | None = None,
    device: Device = "auto",
    method: Method = "qcanet",
    channel: int | str | None = None,
    overwrite: bool = False,
    keep_maps: bool = False,
    flips: Flips | None = None,
    nucleus_um: float | None = None,
    image: bool = True,
    allow_missing: bool = False,
    memory_limit: int | None = None,
    link: LinkSettings | None = None,
    repair: bool = True,
    scratch: str | Path | None = None,
    listener: Listener = silent,
) -> Summary:
    """Segment and track every nucleus of a movie.

    Parameters
    ----------
    movie
        OME-Zarr movie (0.4 or 0.5), path or URL.
    out
        Result group, path or URL; by default, labels are added to the movie itself, which must then be a local 0.5 group.
    name
        Name of the labels.
    model
        Bundled model, or folder of one.
    frames
        "A:B", `range(A, B)`, `slice(A, B)` or (A, B): from A up to but not including B; all if not given.
    skip_frames
        Frames among these to leave empty, such as blank or corrupted ones: "17,40:43" or [17, 40, 41, 42]. Tracks continue
        across up to `link.max_gap` of them.
    block
        Core of a block in voxels (z, y, x), multiples of 16. Affects memory and speed, never labels.
    workers
        Processes on this machine, plus one for each GPU; 0 runs everything in this process. With `cluster`, the number of
        its workers. Each process imports the script that starts it, so a script must call this function under ``if __name__
        == "__main__":``.
    scheduler, client
        A Dask cluster instead: its address or scheduler file, or a connected client.
    cluster
        A Dask cluster that is started for the run: a cluster file or its content, see `tlseg.run.tasks.cluster_file`.
    tls
        Files for a scheduler with TLS, if Dask's own configuration does not name them.
    device
        "auto", "cpu" or "cuda", on the machines that run networks.
    method
        "qcanet", or "components" for connected regions without centres.
    channel
        Channel by index or name; the first if not given.
    overwrite
        Replace labels, tables and tracks of this name, and discard an unfinished run.
    keep_maps
        Keep the probability maps in `tlseg/<name>/maps`.
    flips
        Mirrored copies of each window to average over, 1, 4 or 8; by default as the model says.
    nucleus_um
        Usual width of the nuclei, micrometres, if not that of those the model learned from: the model's grid, lengths and
        volumes are scaled to it.
    image
        With `out`, copy the image too.
    allow_missing
        Accept missing chunks, which read as the fill value.
    memory_limit
        Bytes a worker may use; by default the workers' own limit, or what is free on this machine.
    link
        How nuclei are joined through time.
    repair
        Repair single frames where neighbouring frames show that nuclei were merged into one or cut in two.
    scratch
        Folder for working files that all workers can see; by default they are stored with the result, or for a remote result
        in the temporary folder of this machine.
    listener
        Called with each progress event.

    Returns
    -------
    Summary
        Counts and the seam audit. If the result of this very run exists already, they are its own, and nothing is touched.

    Raises
    ------
    MovieError, ModelError, PlanError, LabelError, ResumeError
        If the input is bad; raised before anything is written.
    RunError
        When the run fails; a second call continues from there.
    """
    request = Request(
        movie=movie,
        out=out,
        name=name,
        model=model,
        frames=frames,
        skip_frames=skip_frames,
        block=block,
        method=method,
        channel=channel,
        overwrite=overwrite,
        keep_maps=keep_maps,
        flips=flips,
        nucleus_um=nucleus_um,
        image=image,
        allow_missing=allow_missing,
        link=link,
        repair=repair,
        scratch=scratch,
    )
    compute = Compute(
        workers=workers,
        scheduler=scheduler,
        client=client,
        cluster=cluster,
        tls=tls,
        device=device,
        memory_limit=memory_limit,
    )
    return segment_request(request, compute, listener=listener)


def segment_request(request: Request, compute: Compute, *, listener: Listener = silent) -> Summary:
    """Carry out a request at a site; see `segment` for what is returned and raised."""
    began = time.monotonic()
    checked = check(request)
    check_scratch(checked.root, request.scratch, movie=checked.source.url, elsewhere=compute.elsewhere)
    check_free(checked.folder)
    if not request.overwrite and (found := finished_run(checked, device=compute.device)) is not None:
        return _summary(checked, found, seconds=found["seconds"], complete_already=True)
    check_access(checked)
    check_existing(checked)
    try:
        with open_pool(compute) as pool:
            planned = plan_for(checked, compute.limited(pool.site(compute.device)))
            return _run(planned, pool, Counters(listener), device=compute.device, began=began)
    except OSError as error:
        raise RunError(f"The run stopped: {describe_error(error)} {GOES_ON}") from error


def _summary(
    checked: CheckedRequest,
    record: Mapping[str, Any],
    *,
    seconds: float,
    resumed: bool = False,
    complete_already: bool = False,
) -> Summary:
    names = ("frames", "nuclei", "tracks", "divisions", "motherless", "motherless_at_edge", "fallback", "repaired")
    counts = {key: int(record.get(key, 0)) for key in names}
    return Summary(
        path=str(checked.root),
        name=checked.name,
        audit=record["audit"],
        seconds=seconds,
        resumed=resumed,
        complete_already=complete_already,
        record=record,
        **counts,
    )


def _run(planned: PlannedRun, pool: Pool, counters: Counters, *, device: Device, began: float) -> Summary:
    """Do all the work, unless another start has done it in the meantime."""
    checked = planned.checked
    check_free(checked.folder)
    planned = reopened(planned)
    check_settings(planned)  # other settings are reported before pixels are read
    first = stages.find_statistics(planned.run, planned.run.frames[0])
    can_resume(reopened(planned), first)
    new = absent(checked.root, checked.folder)
    prepare_root(checked.root)
    with lock_of(checked.folder) as lock:
        finished = None if checked.request.overwrite else finished_run(checked, device=device, first=first)
        if finished is not None:
            return _summary(checked, finished, seconds=finished["seconds"], complete_already=True)
        start = begin(planned, first)
        planned, resumed = start.planned, start.resumed
        run = planned.run
        work = Work(pool, counters, lock, GOES_ON)
        with log_of(checked.folder, run.scratch.folder) as counters.log:
            say_started(start, pool, counters)
            store_statistics(run, run.frames[0], first)
            try:
                statistics = _statistics(run, work)
            except MovieError:
                if not resumed:
                    run.scratch.remove()
                    clear(new)
                raise
            seen = seen_nucleus(run, statistics)
            say_size(seen, planned, counters)
            create_arrays(run)
            try:
                record = _process(planned, work, statistics, seen, began=began)
            except LostWorkError as lost:
                run.scratch.forget(lost.frame)
                raise
            run.scratch.remove()
            say_finished(record, counters)
    return _summary(checked, record, seconds=time.monotonic() - began, resumed=resumed)


def _process(
    planned: PlannedRun, work: Work, statistics: dict[int, FrameStatistics], seen: SeenNucleus, *, began: float
) -> dict[str, Any]:
    """Label, link and publish; returns the record."""
    run, checked = planned.run, planned.checked
    forget_unmeasurable(run)
    expect_label(run, work.counters)
    work.do(FrameFlows(run, statistics, keep_maps=checked.request.keep_maps).next_flow)
    audit = seam_audit(run)
    write_record(checked.folder / "audit.json", audit)
    check_audit(audit, method=run.settings.method)
    if checked.repair:
        _repair(run, work, settings=checked.link)
    work.counters.expect(Stage.LINK, 1)
    lineage = finish.link_frames(run, settings=checked.link)
    work.counters.add(Stage.LINK)
    output = open_output(planned)
    expect_write(run, output, work.counters)
    work.do(finish.write_flows(run, output))
    seconds = time.monotonic() - began
    return publish(planned, output, lineage=lineage, audit=audit, statistics=statistics, seen=seen, seconds=seconds)


def _statistics(run: RunContext, work: Work) -> dict[int, FrameStatistics]:
    found = stored_statistics(run)
    work.counters.expect(Stage.STATISTICS, len(run.frames), done=len(found))

    def flow(frame: int) -> Flow:
        (found[frame],) = yield [Task(Stage.STATISTICS, frame, 0, stages.find_statistics, (run, frame))]
        store_statistics(run, frame, found[frame])

    work.do(flow(frame) for frame in run.frames if frame not in found)
    return found


def _repair(run: RunContext, work: Work, *, settings: LinkSettings) -> None:
    """Repair what tracks contradict, in one pass; linking is then done again with the result."""
    finish.decide_repairs(run, settings=settings)
    expect_repair(run, work.counters)
    work.do(repairs.patch_flows(run))
    work.do(repairs.remeasure_flows(run))
