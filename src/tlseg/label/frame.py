"""Label a frame held in memory, cut into blocks of any shape: the same passes a run makes, without stores or workers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tlseg.config import LabelSettings
from tlseg.geometry import Box, Grid, Shape, Spacing, triple
from tlseg.label.block import Map, detect, detect_halo, label_block, number_frame
from tlseg.label.small import large_enough


def label_frame(
    regions: Map,
    centres: Map,
    *,
    spacing_um: Spacing,
    settings: LabelSettings,
    block: Shape | None = None,
    order: Iterable[int] | None = None,
) -> NDArray[np.uint32]:
    """Instances of one frame from its maps (z, y, x).

    The result is the same for every `block` and for every `order` in which blocks are labelled. Numbers of instances
    that are too small stay unused.
    """
    shape = triple(regions.shape)
    frame = Box.of_shape(shape)
    grid = Grid(shape, block or shape)
    halo = detect_halo(settings, spacing_um)

    def read(box: Box) -> tuple[Map, Map]:
        return regions[box.slices], centres[box.slices]

    detections = []
    for core in grid:
        crop = core.grow(halo).intersect(frame)
        detections.append(
            detect(*read(crop), crop=crop, core=core, frame=frame, spacing_um=spacing_um, settings=settings)
        )
    numbers = number_frame(detections, grid, spacing_um=spacing_um, settings=settings)
    labels = np.zeros(shape, dtype=np.uint32)
    for index in range(len(grid)) if order is None else order:
        core = grid[index]
        labels[core.slices] = label_block(
            read, numbers.of_block(index), core=core, frame=frame, spacing_um=spacing_um, settings=settings
        ).labels
    voxels = np.bincount(labels.ravel(), minlength=numbers.total + 1)[1:]
    kept = np.concatenate([[True], large_enough(voxels, frame=shape, spacing_um=spacing_um, settings=settings)])
    labels[~kept[labels]] = 0
    return labels
