"""Segment a movie, from the check of its input to `complete: true`.

Bad input stops before anything is written. What is written before the end lies in a scratch folder; labels, tables and
tracks are listed only when they are whole; a second start goes on where the first was stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlseg import __version__
from tlseg.config import LabelSettings, Method, byte
from tlseg.errors import ModelError, MovieError, ResumeError, RunError
from tlseg.geometry import Shape, voxels_for
from tlseg.link.lineage import Lineage
from tlseg.link.settings import LinkSettings
from tlseg.models.bundle import Model, ModelSpec, load_model
from tlseg.plan import Plan, check_block, choose_block, make_plan
from tlseg.predict.infer import Device, resolve_device, window_bytes
from tlseg.predict.maps import lattice_for
from tlseg.run import finish, stages
from tlseg.run.checks import check_existing, check_name, destination
from tlseg.run.context import RunContext
from tlseg.run.events import Counters, Listener, silent
from tlseg.run.flow import Flow, Pool, Task, drive
from tlseg.run.frames import Frames
from tlseg.run.pools import cores, memory_per_worker, open_pool
from tlseg.run.publish import open_output, publish
from tlseg.store.labels import prepare_root, pyramid_beside
from tlseg.store.location import one_line
from tlseg.store.movie import check_segmentable, open_source
from tlseg.store.scratch import RunLock, Scratch

if TYPE_CHECKING:
    from distributed import Client

OPEN_FLOWS = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run made: where, how much, and how it was certified."""

    path: str
    name: str
    frames: int
    nuclei: int
    tracks: int
    divisions: int
    fallback: int
    audit: Mapping[str, Any]
    seconds: float
    resumed: bool
    record: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: getattr(self, key) for key in self.__slots__ if key != "record"}


@dataclass(frozen=True, slots=True)
class Job:
    """A run that was checked and can start."""

    run: RunContext
    root: Path
    name: str
    model: Model
    plan: Plan
    beside_movie: bool
    image: bool
    keep_maps: bool
    link: LinkSettings

    @property
    def folder(self) -> Path:
        """Record, audit and scratch of this run."""
        return self.root / "tlseg" / self.name

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides what is in the scratch store and the result; another fingerprint is another run."""
        run = self.run
        return {
            "tlseg": __version__,
            "input": run.source.identity(),
            "frames": [run.frames.start, run.frames.stop],
            "model": {"name": run.spec.name, "digest": run.model_digest},
            "settings": run.settings.deciding(),
            "link": asdict(self.link),
            "block": list(run.block),
            "device": run.device,
            "image": self.image,
            "keep_maps": self.keep_maps,
        }


def prepare(
    movie: str | Path,
    *,
    out: str | Path | None = None,
    name: str = "nuclei",
    model: str | Path = "embryo",
    frames: str | range | None = None,
    block: Shape | None = None,
    workers: int = 0,
    device: Device = "auto",
    method: Method = "qcanet",
    channel: int | str | None = None,
    allow_missing: bool = False,
    memory_limit: int | None = None,
    image: bool = True,
    keep_maps: bool = False,
    link: LinkSettings | None = None,
    for_planning: bool = False,
) -> Job:
    """Check input and settings and work out the plan; reads metadata only and writes nothing.

    Parameters are those of `segment`. With `for_planning`, a movie that cannot be written beside is no error.
    """
    check_name(name)
    source = open_source(movie, channel=channel)
    chosen = parse_frames(frames, source.n_frames)
    if not (for_planning and source.is_2d):
        check_segmentable(source, chosen, allow_missing=allow_missing)
    loaded = load_model(model)
    if method == "qcanet" and "ndn" not in loaded.spec.networks:
        raise ModelError(
            f"The model {loaded.spec.name!r} has no network for centres (ndn). Use --method components, or another model."
        )
    settings = label_settings(loaded.spec, method)
    resolved = resolve_device(device)
    root = destination(source, out, for_planning=for_planning)
    limit = memory_limit or memory_per_worker(max(1, workers))
    shape = source.frame_shape
    halo = voxels_for(settings.halo_um, source.spacing_um)
    if block is not None:
        check_block(block)
    run = RunContext(
        source=source,
        frames=chosen,
        scratch=Scratch(str(root / "tlseg" / name / "scratch")),
        model_folder=str(loaded.folder),
        model_digest=loaded.digest,
        spec=loaded.spec,
        settings=settings,
        block=block or choose_block(shape, halo=halo, limit_bytes=limit),
        device=resolved,
        threads=1 if workers else cores(),
        most_voxels=None,
    )
    for role in run.roles:
        loaded.network(role)  # damaged weights are found before any work
    lattices = {role: lattice_for(loaded.spec, role, shape=shape, spacing_um=source.spacing_um) for role in run.roles}
    plan = make_plan(
        frames=len(chosen),
        frame_shape=shape,
        block=run.block,
        halo=halo,
        windows={role: len(lattice) for role, lattice in lattices.items()},
        window_bytes=max(
            window_bytes(lattice.shape, loaded.spec.networks[role].architecture) for role, lattice in lattices.items()
        ),
        windows_at_once=run.threads,
        write_regions=len(pyramid_beside(source, root).regions),
        limit_bytes=limit,
    )
    return Job(
        replace(run, most_voxels=most_voxels(limit)),
        root,
        name,
        loaded,
        plan,
        beside_movie=out is None,
        image=image and out is not None,
        keep_maps=keep_maps,
        link=link or LinkSettings(),
    )


def segment(
    movie: str | Path,
    *,
    out: str | Path | None = None,
    name: str = "nuclei",
    model: str | Path = "embryo",
    frames: str | range | None = None,
    block: Shape | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    client: Client | None = None,
    device: Device = "auto",
    method: Method = "qcanet",
    channel: int | str | None = None,
    overwrite: bool = False,
    keep_maps: bool = False,
    image: bool = True,
    allow_missing: bool = False,
    memory_limit: int | None = None,
    link: LinkSettings | None = None,
    listener: Listener = silent,
) -> Summary:
    """Segment and track every nucleus of a movie.

    Parameters
    ----------
    movie
        OME-Zarr movie (0.4 or 0.5), path or URL.
    out
        Result group; where not given, labels are added to the movie itself, which must then be a local 0.5 group.
    name
        Name of the labels.
    model
        Bundled model, or folder of one.
    frames
        `range` or "A:B"; all where not given.
    block
        Core of a block in voxels (z, y, x), multiples of 16. Decides memory and speed, never labels.
    workers
        Processes on this machine; 0 runs everything in this one.
    scheduler, client
        A Dask cluster instead: its address, or a connected client.
    device
        "auto", "cpu" or "cuda".
    method
        "qcanet", or "components" for connected regions without centres.
    channel
        Channel by index or name; the first where not given.
    overwrite
        Replace labels, tables and tracks of this name, and forget an unfinished run.
    keep_maps
        Keep the probability maps in `tlseg/<name>/maps`.
    image
        With `out`, copy the image too.
    allow_missing
        Accept chunks that are absent and read as the fill value.
    memory_limit
        Bytes a worker may use; what is free on this machine where not given.
    link
        How nuclei are joined through time.
    listener
        Is told what is done.

    Returns
    -------
    Summary
        Counts and the seam audit.

    Raises
    ------
    MovieError, ModelError, PlanError, LabelError, ResumeError
        For bad input, before anything is written.
    RunError
        When the run fails; a second call goes on from there.
    """
    began = time.monotonic()
    job = prepare(
        movie,
        out=out,
        name=name,
        model=model,
        frames=frames,
        block=block,
        workers=workers or int(scheduler is not None or client is not None),
        device=device,
        method=method,
        channel=channel,
        allow_missing=allow_missing,
        memory_limit=memory_limit,
        image=image,
        keep_maps=keep_maps,
        link=link,
    )
    check_existing(job, overwrite=overwrite)
    try:
        with open_pool(workers=workers, scheduler=scheduler, client=client) as pool:
            lineage, audit, record, resumed = _run(job, pool, Counters(listener), overwrite=overwrite, began=began)
    except OSError as error:
        raise RunError(
            f"The run stopped: {one_line(error)}. What is done is kept; the same command goes on from there."
        ) from error
    return Summary(
        path=str(job.root),
        name=name,
        frames=len(job.run.frames),
        nuclei=len(lineage.nodes),
        tracks=lineage.tracks,
        divisions=record["divisions"],
        fallback=record["fallback"],
        audit=audit,
        seconds=time.monotonic() - began,
        resumed=resumed,
        record=record,
    )


def _run(
    job: Job, pool: Pool, counters: Counters, *, overwrite: bool, began: float
) -> tuple[Lineage, dict[str, Any], dict[str, Any], bool]:
    """Do all the work; returns the lineage, the seam audit, the record and whether the run was resumed."""
    run = job.run
    limits = None if overwrite else stored_statistics(run.scratch, job.fingerprint())
    if limits is None:
        limits = _statistics(run, pool, counters)
    else:
        _check_pixels(run, limits)
    prepare_root(job.root)
    with RunLock(job.folder) as lock:
        if overwrite:
            run.scratch.remove()
        resumed = run.scratch.begin(job.fingerprint())
        _store_statistics(run, limits)
        _create_arrays(run)
        _label(run, pool, counters, limits, keep_maps=job.keep_maps, lock=lock)
        audit = finish.seam_audit(run)
        finish.write_record(job.folder / "audit.json", audit)
        finish.check_audit(audit)
        counters.expect("link", 1)
        lineage = finish.link_frames(run, settings=job.link)
        counters.add("link")
        output = open_output(job)
        _drive(finish.writing(run, output).__next__, pool, counters, lock)
        record = publish(job, output, lineage, audit, seconds=time.monotonic() - began)
        run.scratch.remove()
    return lineage, audit, record, resumed


def parse_frames(frames: str | range | None, count: int) -> range:
    """Frames of a movie of `count` from "A:B", with the meaning of a Python slice; both ends may be left out."""
    if frames is None:
        return range(count)
    if isinstance(frames, range):
        if frames.step != 1:
            raise MovieError(f"Frames go one by one; got a step of {frames.step}.")
        return frames
    try:
        first, last = frames.split(":")
        start, stop = int(first or 0), int(last or count)
    except ValueError:
        raise MovieError(f"{frames!r} is not a range of frames. Expected A:B, such as 0:10.") from None
    if not 0 <= start < stop <= count:
        raise MovieError(f"Frames {frames} were asked for, and the movie has {count}. Use a range within 0:{count}.")
    return range(start, stop)


def label_settings(spec: ModelSpec, method: Method) -> LabelSettings:
    """Take the settings of the label stage from a model."""
    return LabelSettings(
        method=method,
        region_threshold=byte(spec.region_threshold),
        centre_threshold=byte(spec.centre_threshold),
        centre_smoothing_um=spec.centre_smoothing_um,
        centre_distance_um=spec.centre_distance_um,
        relief=spec.relief,
        minimum_volume_um3=spec.minimum_volume_um3,
    )


def most_voxels(limit_bytes: int) -> int:
    """Largest crop a block may grow to within a worker's memory."""
    from tlseg.plan import BASE_BYTES, FLOOD_BYTES_PER_VOXEL

    return max(2**20, (limit_bytes - BASE_BYTES) // FLOOD_BYTES_PER_VOXEL)


def stored_statistics(scratch: Scratch, wanted: Mapping[str, Any]) -> dict[int, tuple[float, float]] | None:
    """Statistics of an unfinished run with this fingerprint, None where there is none."""
    if not (scratch.path / "fingerprint.json").is_file():
        return None
    scratch.begin(wanted)
    if not scratch.done("statistics", 0):
        return None
    stored = scratch.get("statistics", 0, 0)
    return {int(f): (float(a), float(b)) for f, a, b in zip(*(stored[k] for k in ("t", "low", "high")), strict=True)}


def _statistics(run: RunContext, pool: Pool, counters: Counters) -> dict[int, tuple[float, float]]:
    found: dict[int, tuple[float, float]] = {}
    counters.expect("statistics", len(run.frames))

    def flow(frame: int) -> Flow:
        (limits,) = yield [Task("statistics", frame, 0, stages.find_statistics, (run, frame))]
        found[frame] = limits

    _drive((flow(frame) for frame in run.frames).__next__, pool, counters, None)
    return found


def _check_pixels(run: RunContext, limits: dict[int, tuple[float, float]]) -> None:
    """Raise `ResumeError` where a movie of the same name and shape took the place of the one a run began with."""
    frame = run.frames[0]
    if stages.find_statistics(run, frame) != limits[frame]:
        raise ResumeError(
            f"The pixels of {run.source.url} are not those that the unfinished run in {run.scratch.folder} began with. "
            "Start anew with --overwrite."
        )


def _store_statistics(run: RunContext, limits: dict[int, tuple[float, float]]) -> None:
    low, high = (np.array([limits[f][i] for f in run.frames]) for i in (0, 1))
    run.scratch.put("statistics", 0, 0, t=np.array(run.frames), low=low, high=high)


def _create_arrays(run: RunContext) -> None:
    """Make the working arrays, once; each is written in whole shards by one task."""
    if run.scratch.done("arrays", 0):
        return
    frames, shape = len(run.frames), run.source.frame_shape
    inner = tuple(next(c for c in (64, 48, 32, 16) if b % c == 0) for b in run.block)
    for role in run.roles:
        lattice = lattice_for(run.spec, role, shape=shape, spacing_um=run.spacing_um)
        window = (1, 1, *lattice.shape)
        run.scratch.create(
            role, shape=(frames, len(lattice), *lattice.shape), dtype="uint8", shards=window, chunks=window
        )
    n = len(run.roles)
    run.scratch.create(
        "maps", shape=(frames, n, *shape), dtype="uint8", shards=(1, n, *run.block), chunks=(1, 1, *inner)
    )
    run.scratch.create("labels", shape=(frames, *shape), dtype="uint32", shards=(1, *run.block), chunks=(1, *inner))
    run.scratch.put("arrays", 0, 0)


def _label(
    run: RunContext,
    pool: Pool,
    counters: Counters,
    limits: dict[int, tuple[float, float]],
    *,
    keep_maps: bool,
    lock: RunLock,
) -> None:
    from tlseg.run.frames import windows_per_frame

    frames, blocks = len(run.frames), len(run.grid)
    counters.expect("predict", frames * sum(windows_per_frame(run, role) for role in run.roles))
    for stage in ("detect", "flood", "measure"):
        counters.expect(stage, frames * blocks)
    _drive(Frames(run, limits, keep_maps=keep_maps).next_flow, pool, counters, lock)


def _drive(next_flow: Any, pool: Pool, counters: Counters, lock: RunLock | None) -> None:
    def following() -> Flow | None:
        try:
            flow: Flow | None = next_flow()
        except StopIteration:
            return None
        return flow

    def on_done(task: Task, result: Any) -> None:
        if task.stage in counters.totals:
            counters.add(task.stage, task.weight)
        if lock is not None:
            lock.beat()

    drive(following, pool, open_flows=OPEN_FLOWS, on_done=on_done)
