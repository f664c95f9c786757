"""The comparison without centres: connected regions over all blocks of a frame, through dask-image.

`dask_image.ndmeasure.label` numbers components by block, so they are renumbered by their first voxel; after that the
numbers are the same for every block shape.
"""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
from dask_image.ndmeasure import label

from tlseg.errors import PlanError
from tlseg.geometry import Shape, volume_um3
from tlseg.plan import BASE_BYTES, sized
from tlseg.run.context import RunContext
from tlseg.store.working.names import Table

BYTES_PER_VOXEL = 8
"""Of a frame, all of which one task holds: labels of every block as int32 until it is known which touch; 6.4 were used."""


def check_memory(frame: Shape, *, limit_bytes: int) -> None:
    """Raise `PlanError` if a frame takes more memory than a worker may use."""
    needed = BASE_BYTES + BYTES_PER_VOXEL * math.prod(frame)
    if needed > limit_bytes:
        raise PlanError(
            f"--method components labels a frame in one piece, which takes about {sized(needed)}, but a worker may use only "
            f"{sized(limit_bytes)}; smaller blocks do not help. Use fewer workers with more memory, or --method qcanet, "
            "which works in blocks."
        )


def label_components(run: RunContext, frame: int) -> int:
    """Label the foreground of a frame by connected components (6-connectivity) into the provisional labels."""
    row, grid = run.row(frame), run.grid
    maps = da.from_zarr(run.scratch.array("maps"), chunks=(1, 1, *run.block), inline_array=True)  # type: ignore[no-untyped-call]
    run.scratch.hold()
    stored = run.scratch.array("labels")
    lazy, _ = label(maps[row, 0] >= run.settings.region_threshold)
    whole = (slice(row, row + 1), *run.frame_box.slices)
    # One block is one shard of the target, so blocks may be written in any order.
    da.store(lazy[None].astype(np.uint32), stored, regions=whole, lock=False, scheduler="synchronous")
    voxels: dict[int, int] = {}
    first: dict[int, int] = {}
    for core in grid:
        part = run.scratch.read("labels", (row, *core.slices), frame=frame)
        numbers, where, counts = np.unique(part, return_index=True, return_counts=True)
        inside = np.unravel_index(where, part.shape)
        flat = np.ravel_multi_index(
            tuple(i + s for i, s in zip(inside, core.start, strict=True)), run.source.frame_shape
        )
        for number, at, count in zip(numbers.tolist(), flat.tolist(), counts.tolist(), strict=True):
            voxels[number] = voxels.get(number, 0) + count
            first[number] = min(first.get(number, at), at)
    for table in (voxels, first):
        table.pop(0, None)
    ordered = np.array(sorted(first, key=first.__getitem__), dtype=np.int64)
    volumes = volume_um3([voxels[n] for n in ordered], frame=run.source.frame_shape, spacing_um=run.spacing_um)
    kept = ordered[volumes >= run.settings.minimum_volume_um3]
    renumber = np.zeros(max(first, default=0) + 1, dtype=np.uint32)
    renumber[kept] = np.arange(1, len(kept) + 1)
    for core in grid:
        at = (row, *core.slices)
        stored[at] = renumber[stored[at]]
    run.scratch.put(Table.COMPONENTS, frame, 0, total=np.array(len(kept)))
    return len(kept)
