"""A run that was checked and can start: input, settings, destination and plan, worked out from metadata alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tlseg import __version__
from tlseg.config import Frames, LabelSettings, Method, as_frames
from tlseg.errors import ModelError, MovieError
from tlseg.geometry import Shape, voxels_for
from tlseg.label.block import detect_halo
from tlseg.link.settings import LinkSettings
from tlseg.models.bundle import BUNDLED, Flips, Model, ModelSpec, load_model
from tlseg.plan import BASE_BYTES, FLOOD_BYTES_PER_VOXEL, Plan, check_block, choose_cut, make_plan, within_frame
from tlseg.predict.infer import Device, resolve_device, window_bytes
from tlseg.predict.maps import lattice_for
from tlseg.run.checks import check_spacing, destination
from tlseg.run.components import check_memory as check_components
from tlseg.run.context import RunContext, network_roles
from tlseg.run.given import check_crew, check_memory
from tlseg.run.tables import FORMAT
from tlseg.run.tasks.crew import Site, cores, memory_per_worker
from tlseg.store.fs.location import check_name
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.image.segmentable import check_segmentable
from tlseg.store.labels.label_writer import pyramid_beside
from tlseg.store.labels.protect import CopiedImage
from tlseg.store.working.folder import scratch_folder
from tlseg.store.working.scratch import Scratch

HALO_OVER = (1, 2, 4)
"""What the halo and margin of the settings may be divided by where memory is short; both grow where they must."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, checked; who does it is not known yet. `block` and `memory_limit` only where they were given."""

    source: MovieSource
    frames: range
    root: Place
    name: str
    model: Model
    spec: ModelSpec
    settings: LabelSettings
    scratch: Scratch
    block: Shape | None
    memory_limit: int | None
    beside_movie: bool
    image: bool
    keep_maps: bool
    link: LinkSettings
    repair: bool

    @property
    def folder(self) -> Place:
        """Record, audit and event log of this run."""
        return self.root / "tlseg" / self.name

    @property
    def copied_image(self) -> CopiedImage:
        """Image of the result, where `image` says that it has one."""
        return CopiedImage(self.root, self.source, self.frames)

    def asked(self) -> dict[str, Any]:
        """Everything that was asked for and decides what is in the result."""
        return {
            "tlseg": __version__,
            "input": self.source.identity(root=self.root.url),
            "frames": [self.frames.start, self.frames.stop],
            "model": {"name": self.spec.name, "digest": self.model.digest, "flips": self.spec.flips},
            "settings": self.settings.deciding(),
            "link": asdict(self.link),
            "repair": self.repair,
            "image": self.image,
            "keep_maps": self.keep_maps,
        }


@dataclass(frozen=True, slots=True)
class Job(Order):
    """A run that was checked and planned for those who do it, and can start."""

    run: RunContext
    plan: Plan

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides what is in the scratch store and the result; another fingerprint is another run."""
        run = self.run
        return {**self.asked(), "working_tables": FORMAT, "block": list(run.block), "device": run.device}


def prepare(movie: str | Path, *, workers: int = 0, device: Device = "auto", **settings: Any) -> Job:
    """Check input and settings and plan for this machine; reads metadata only and writes nothing.

    Parameters are those of `check`; `workers` processes share the memory, 0 is this one.
    """
    check_crew(workers, device)
    threads = 1 if workers else cores()
    order = check(movie, **settings)
    return plan_job(order, Site(resolve_device(device), threads, memory_per_worker(max(1, workers))))


def check(
    movie: str | Path,
    *,
    out: str | Path | None = None,
    name: str = "nuclei",
    model: str | Path = "embryo",
    frames: Frames | None = None,
    block: Shape | None = None,
    method: Method = "qcanet",
    channel: int | str | None = None,
    allow_missing: bool = False,
    memory_limit: int | None = None,
    flips: Flips | None = None,
    image: bool = True,
    keep_maps: bool = False,
    link: LinkSettings | None = None,
    repair: bool = True,
    scratch: str | Path | None = None,
    for_planning: bool = False,
) -> Order:
    """Check input and settings; reads metadata only, writes nothing and asks no worker.

    Parameters are those of `segment`. With `for_planning`, a movie that cannot be written beside is no error.
    """
    check_name(name)
    check_memory(memory_limit)
    source = open_source(movie, channel=channel)
    chosen = frames_of(frames, source.n_frames)
    if not (for_planning and source.is_2d):
        check_segmentable(source, chosen, allow_missing=allow_missing)
    loaded = load_model(model)
    if method == "qcanet" and "ndn" not in loaded.spec.networks:
        raise ModelError(
            f"The model {loaded.spec.name!r} has no network for centres (ndn). Use --method components, or another model."
        )
    check_spacing(source, loaded.spec)
    spec = loaded.spec if flips is None else replace(loaded.spec, flips=flips)
    settings = spec.label_settings(method)
    root = destination(source, out, for_planning=for_planning)
    if block is not None:
        check_block(block)
        block = within_frame(block, source.frame_shape)
    return Order(
        source=source,
        frames=chosen,
        root=root,
        name=name,
        model=loaded,
        spec=spec,
        settings=settings,
        scratch=Scratch.at(scratch_folder(root, name, scratch)),
        block=block,
        memory_limit=memory_limit,
        beside_movie=out is None,
        image=image and out is not None,
        keep_maps=keep_maps,
        link=(link or LinkSettings()).with_interval(source.interval_s),
        repair=repair,
    )


def plan_job(order: Order, site: Site) -> Job:
    """Work out blocks and memory for those who do the work.

    Raises
    ------
    PlanError
        When it does not fit.
    ModelError
        When the weights are damaged.
    """
    source, spec, shape = order.source, order.spec, order.source.frame_shape
    limit = site.memory_bytes if order.memory_limit is None else order.memory_limit
    if order.settings.method == "components":
        check_components(shape, limit_bytes=limit)
    settings = [_with_halo_over(order.settings, n) for n in HALO_OVER]
    halos = [voxels_for(s.halo_um, source.spacing_um) for s in settings]
    seen = detect_halo(order.settings, source.spacing_um)
    block, chosen = choose_cut(
        shape,
        halos=halos,
        seen=seen,
        limit_bytes=limit,
        block=order.block or _block_of_unfinished(order),
    )
    roles = network_roles(order.settings)
    for role in roles:
        order.model.network(role)  # damaged weights are found before any work
    lattices = {role: lattice_for(spec, role, shape=shape, spacing_um=source.spacing_um) for role in roles}
    one_window = max(window_bytes(lattices[role].shape, spec.networks[role].architecture) for role in roles)
    run = RunContext(
        source=source,
        frames=order.frames,
        scratch=order.scratch,
        model_folder=model_location(order.model),
        model_digest=order.model.digest,
        spec=spec,
        settings=settings[chosen],
        block=block,
        device=site.device,
        threads=min(site.threads, max(1, (limit - BASE_BYTES) // one_window)),
        most_voxels=most_voxels(limit),
    )
    plan = make_plan(
        frames=len(order.frames),
        frame_shape=shape,
        block=block,
        halo=halos[chosen],
        seen=seen,
        windows={role: len(lattice) for role, lattice in lattices.items()},
        window_bytes=one_window,
        windows_at_once=run.threads if run.device == "cpu" else 1,
        write_regions=len(pyramid_beside(source, order.root).regions),
        limit_bytes=limit,
    )
    return Job(**{f.name: getattr(order, f.name) for f in fields(order)}, run=run, plan=plan)


def model_location(model: Model) -> str:
    """Where a worker finds a model: a bundled one by its name, since every machine has its own copy."""
    folder = model.folder.absolute()
    return folder.name if folder.parent == BUNDLED.absolute() else str(folder)


def frames_of(frames: Frames | None, count: int) -> range:
    """Frames of a movie of `count`: all, or those asked for, which must lie within it."""
    if frames is None:
        return range(count)
    first, stop = as_frames(frames)
    chosen = range(first or 0, count if stop is None else stop)
    if not chosen.start < chosen.stop <= count:
        raise MovieError(f"Frames {frames} were asked for, and the movie has {count}. Use a range within 0:{count}.")
    return chosen


def most_voxels(limit_bytes: int) -> int:
    """Largest crop a block may grow to within a worker's memory."""
    return max(2**20, (limit_bytes - BASE_BYTES) // FLOOD_BYTES_PER_VOXEL)


def _with_halo_over(settings: LabelSettings, divisor: int) -> LabelSettings:
    return replace(settings, halo_um=settings.halo_um / divisor, margin_um=settings.margin_um / divisor)


def _block_of_unfinished(order: Order) -> Shape | None:
    """Block of a run of this movie that was stopped here: free memory may have changed since, and it goes on as it began."""
    stored = order.scratch.fingerprint() or {}
    movie = json.loads(json.dumps(order.source.identity(root=order.root.url)))
    if stored.get("input") != movie or "block" not in stored:
        return None
    z, y, x = stored["block"]
    return (z, y, x)
