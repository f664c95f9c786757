"""The comparison without centres: connected regions over all blocks of a frame, through dask-image.

`dask_image.ndmeasure.label` numbers components by block, so they are renumbered by their first voxel; after that the
numbers are the same for every block shape.
"""

from __future__ import annotations

import math
from typing import Any

import dask.array as da
import numpy as np
from dask_image.ndmeasure import label
from numpy.typing import NDArray

from tlseg.errors import PlanError
from tlseg.geometry import Shape, volume_um3
from tlseg.plan import BASE_BYTES, sized
from tlseg.run.context import RunContext
from tlseg.store.working.names import Table

BYTES_PER_VOXEL = 12
"""Of a frame, all of which one task holds: labels of every block as int32 until it is known which touch, and those of the
whole frame; 9.8 were used."""


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
    """Label the foreground of a frame by connected components (6-connectivity) into the provisional labels.

    A second call does nothing: the maps may be gone.
    """
    if run.scratch.has(Table.COMPONENTS, frame, 0):
        return int(run.scratch.get(Table.COMPONENTS, frame, 0)["total"])
    shape, labels = run.source.frame_shape, _connected(run, frame)
    size = int(labels.max()) + 1
    voxels, first = np.zeros(size, dtype=np.int64), np.full(size, labels.size)
    for core in run.grid:
        numbers, where, counts = np.unique(labels[core.slices], return_index=True, return_counts=True)
        at = tuple(i + start for i, start in zip(np.unravel_index(where, core.shape), core.start, strict=True))
        voxels[numbers] += counts
        first[numbers] = np.minimum(first[numbers], np.ravel_multi_index(at, shape))
    large = volume_um3(voxels, frame=shape, spacing_um=run.spacing_um) >= run.settings.minimum_volume_um3
    kept = np.flatnonzero(large[1:] & (voxels[1:] > 0)) + 1
    renumber = np.zeros(size, dtype=np.uint32)
    renumber[kept[np.argsort(first[kept])]] = np.arange(1, len(kept) + 1)
    for core in run.grid:
        run.scratch.write("labels", (run.row(frame), *core.slices), renumber[labels[core.slices]])
    run.scratch.put(Table.COMPONENTS, frame, 0, total=np.array(len(kept)))
    return len(kept)


def _connected(run: RunContext, frame: int) -> NDArray[np.uint32]:
    """Components of the foreground of a frame (z, y, x), numbered in any order."""
    shape = run.source.frame_shape

    def foreground(block_info: Any) -> NDArray[np.bool_]:
        place = (slice(*ends) for ends in block_info[None]["array-location"])
        found: NDArray[np.bool_] = (
            run.scratch.read("maps", (run.row(frame), 0, *place), frame=frame) >= run.settings.region_threshold
        )
        return found

    chunks = da.core.normalize_chunks(run.block, shape)  # type: ignore[no-untyped-call]
    lazy, _ = label(da.map_blocks(foreground, chunks=chunks, meta=np.empty((0, 0, 0), dtype=bool)))  # type: ignore[no-untyped-call]
    labels = np.empty(shape, dtype=np.uint32)
    da.store(lazy, labels, lock=False, scheduler="synchronous")
    return labels
