"""The comparison without centres: connected regions of a frame, all of which one task holds."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import label

from tlseg.errors import PlanError
from tlseg.geometry import Shape, volume_um3
from tlseg.plan import BASE_BYTES, sized
from tlseg.run.context import RunContext
from tlseg.store.working.names import Table

BYTES_PER_VOXEL = 8
"""Of a frame, all of which one task holds: foreground, labels as int32, and a block of them as it is written; 5.5 were
used."""


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
    row = run.row(frame)
    foreground = run.scratch.read("maps", (row, 0), frame=frame) >= run.settings.region_threshold
    labels = np.empty(foreground.shape, dtype=np.int32)
    count = label(foreground, output=labels)  # numbered in the order of their first voxels
    voxels = np.zeros(count + 1, dtype=np.int64)
    for core in run.grid:
        voxels += np.bincount(labels[core.slices].ravel(), minlength=count + 1)
    volumes = volume_um3(voxels, frame=run.source.frame_shape, spacing_um=run.spacing_um)
    kept = volumes >= run.settings.minimum_volume_um3
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.uint32)
    for core in run.grid:
        run.scratch.write("labels", (row, *core.slices), number[labels[core.slices]])
    total = int(kept.sum())
    run.scratch.put(Table.COMPONENTS, frame, 0, total=np.array(total))
    return total
