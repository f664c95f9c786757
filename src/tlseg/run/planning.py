"""A run checked and planned for its workers, from metadata alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlseg.config import Frames, LabelSettings, Method
from tlseg.geometry import Shape, Spacing, voxels_for
from tlseg.label.block import detect_halo
from tlseg.models.bundle import BUNDLED, Flips, Model
from tlseg.plan import BASE_BYTES, FLOOD_BYTES_PER_VOXEL, Plan, choose_cut, make_plan
from tlseg.predict.device import Device, TorchDevice, resolve_device
from tlseg.predict.infer import window_bytes
from tlseg.predict.maps import lattice_for
from tlseg.run.checks import check_access, why_not_beside
from tlseg.run.components import check_memory
from tlseg.run.context import RunContext, network_roles
from tlseg.run.request import CheckedRequest, Request, check
from tlseg.run.tables import FORMAT
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.workers import Site, cores, memory_per_worker
from tlseg.store.labels.label_writer import pyramid_beside
from tlseg.store.working.names import BLOCK, Begun
from tlseg.store.working.scratch import Scratch

HALO_DIVISORS = (1, 2, 4)
"""What the halo and margin of the settings may be divided by if memory is short; both grow where they must."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run that can start: the request, what its tasks need to know, and how the work is cut."""

    checked: CheckedRequest
    run: RunContext
    plan: Plan

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides what is in the scratch store and the result; another fingerprint is another run."""
        run = self.run
        return {**self.checked.deciding(), "working_tables": FORMAT, BLOCK: list(run.block), "device": run.device}

    def with_scratch(self, scratch: Scratch) -> PlannedRun:
        """Return the same run with other working files."""
        return replace(self, run=replace(self.run, scratch=scratch))


@dataclass(frozen=True, slots=True)
class MoviePlan:
    """What segmenting a movie would do.

    Attributes
    ----------
    movie : str
    spacing_um : (z, y, x)
    device : {"cpu", "cuda"}
        Where networks would run.
    plan : Plan
        Blocks, tasks, memory and bytes.
    notes : tuple of str
        Notes for the user: a spacing without a unit, a movie that cannot be segmented without `out`.
    is_2d : bool
        Whether the movie has no z axis.
    """

    movie: str
    spacing_um: Spacing
    device: TorchDevice
    plan: Plan
    notes: tuple[str, ...] = ()
    is_2d: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {"movie": self.movie, "spacing_um": self.spacing_um, "is_2d": self.is_2d}
        return {**own, **self.plan.to_dict(), "notes": self.notes}


def prepare(request: Request, compute: Compute, *, for_planning: bool = False) -> PlannedRun:
    """Check a request and plan for this machine; reads metadata only and writes nothing.

    The `workers` processes share the memory, 0 is this one. For `for_planning` see `check`.
    """
    checked = check(request, for_planning=for_planning)
    if not (for_planning and checked.beside_movie):
        check_access(checked)
    threads = 1 if compute.workers else cores()
    site = Site(resolve_device(compute.device), threads, memory_per_worker(max(1, compute.workers)))
    return plan_for(checked, compute.limited(site))


def plan_for(checked: CheckedRequest, site: Site) -> PlannedRun:
    """Work out blocks and memory for those who do the work.

    Raises
    ------
    PlanError
        When it does not fit into memory.
    ModelError
        When the weights are damaged.
    """
    source, spec, shape, limit = checked.source, checked.spec, checked.source.frame_shape, site.memory_bytes
    if checked.settings.method == "components":
        check_memory(shape, limit_bytes=limit)
    settings = [_with_halo_divided(checked.settings, n) for n in HALO_DIVISORS]
    halos = [voxels_for(s.halo_um, source.spacing_um) for s in settings]
    seen = detect_halo(checked.settings, source.spacing_um)
    block, chosen = choose_cut(
        shape,
        halos=halos,
        seen=seen,
        limit_bytes=limit,
        block=checked.block or _block_of_unfinished(checked),
    )
    roles = network_roles(checked.settings)
    for role in roles:
        checked.model.network(role)  # damaged weights are found before any work
    lattices = {role: lattice_for(spec, role, shape=shape, spacing_um=source.spacing_um) for role in roles}
    one_window = max(window_bytes(lattices[role].shape, spec.networks[role].architecture) for role in roles)
    run = RunContext(
        source=source,
        frames=checked.frames,
        scratch=Scratch.at(checked.working_files),
        model_folder=model_location(checked.model),
        model_digest=checked.model.digest,
        spec=spec,
        settings=settings[chosen],
        block=block,
        device=site.device,
        threads=min(site.threads, max(1, (limit - BASE_BYTES) // one_window)),
        most_voxels=most_voxels(limit),
        skip=checked.skip,
    )
    plan = make_plan(
        frames=len(checked.frames),
        frame_shape=shape,
        block=block,
        halo=halos[chosen],
        seen=seen,
        windows={role: len(lattice) for role, lattice in lattices.items()},
        window_bytes=one_window,
        windows_at_once=run.threads if run.device == "cpu" else 1,
        write_regions=len(pyramid_beside(source, checked.root).regions),
        copied_itemsize=np.dtype(source.dtype).itemsize if checked.image else 0,
        limit_bytes=limit,
    )
    return PlannedRun(checked, run, plan)


def model_location(model: Model) -> str:
    """Where a worker finds a model: a bundled one by its name, since every machine has its own copy."""
    folder = model.folder.absolute()
    return folder.name if folder.parent == BUNDLED.absolute() else str(folder)


def plan_run(
    movie: str | Path,
    *,
    out: str | Path | None = None,
    model: str | Path = "embryo",
    frames: Frames | None = None,
    block: Shape | None = None,
    workers: int = 0,
    device: Device = "auto",
    method: Method = "qcanet",
    channel: int | str | None = None,
    flips: Flips | None = None,
    nucleus_um: float | None = None,
    image: bool = True,
    allow_missing: bool = False,
    memory_limit: int | None = None,
) -> MoviePlan:
    """Say what segmenting a movie would do: blocks, tasks, memory and bytes; metadata is read, and nothing written.

    Parameters
    ----------
    movie
        OME-Zarr movie (0.4 or 0.5), path or URL.
    out, model, frames, block, workers, device, method, channel, flips, nucleus_um, image, allow_missing, memory_limit
        As for `tlseg.segment`.

    Raises
    ------
    MovieError, ModelError, PlanError, LabelError
        If the input is bad, or the work would not fit.
    """
    request = Request(
        movie=movie,
        out=out,
        model=model,
        frames=frames,
        block=block,
        method=method,
        channel=channel,
        flips=flips,
        nucleus_um=nucleus_um,
        image=image,
        allow_missing=allow_missing,
    )
    compute = Compute(workers=workers, device=device, memory_limit=memory_limit)
    planned = prepare(request, compute, for_planning=True)
    source = planned.run.source
    notes = (source.spacing_note, _needs_out(planned.checked))
    return MoviePlan(
        source.url, source.spacing_um, planned.run.device, planned.plan, tuple(filter(None, notes)), source.is_2d
    )


def _needs_out(checked: CheckedRequest) -> str:
    """Say that a movie can be planned, but not segmented, without `--out`; empty if it can be."""
    if not checked.beside_movie or not (why := why_not_beside(checked.source)):
        return ""
    return (
        f"labels cannot be added to this movie, because {why}: tlseg segment needs --out RESULT.ome.zarr; give it here too, "
        "to plan for the copy of the image"
    )


def most_voxels(limit_bytes: int) -> int:
    """Largest crop a block may grow to within a worker's memory."""
    return max(2**20, (limit_bytes - BASE_BYTES) // FLOOD_BYTES_PER_VOXEL)


def _with_halo_divided(settings: LabelSettings, divisor: int) -> LabelSettings:
    return replace(settings, halo_um=settings.halo_um / divisor, margin_um=settings.margin_um / divisor)


def _block_of_unfinished(checked: CheckedRequest) -> Shape | None:
    """Block of a run of this movie that was stopped here: free memory may have changed, but it continues as begun."""
    scratch = Scratch.at(checked.working_files)
    fingerprint = scratch.fingerprint()
    begun = Begun.of(fingerprint)
    movie = json.loads(json.dumps(checked.source.identity(root=checked.root.url)))
    if fingerprint is None or begun is None or begun.movie != movie:
        return None
    # With overwrite, only what another start with overwrite began goes on.
    goes_on = not checked.request.overwrite or scratch.continues(fingerprint, overwrite=True)
    return begun.block if goes_on else None
