"""Nuclei and overlaps of a label movie from any source, measured block by block.

A nucleus may be cut into any number of blocks: sums are integers, so its row is the same however it was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.geometry import Box, Grid, Shape, slab, volume_um3
from tlseg.link.objects import OVERLAP_COLUMNS
from tlseg.measure.objects import (
    ObjectSums,
    crop_to_measure,
    measure_block,
    object_table,
    overlaps,
)
from tlseg.run.linking.source import LabelInput

BLOCK_VOXELS = 2**22
"""Most voxels measured at once, unless one plane or chunk has more."""

VOXEL_BYTES = 150
"""Memory for a voxel that is measured."""

GIVEN = "given"
"""The value of `seed` in the table for nuclei from other software."""

_PLACE = ["t", "label", "z_um", "y_um", "x_um", "volume_voxels", "volume_um3", "intensity_mean"]


@dataclass(frozen=True, slots=True, eq=False)
class FrameSums:
    """What is kept for a frame: sums per nucleus, and voxels shared with the next frame (label, next label, voxels)."""

    frame: int
    objects: ObjectSums
    shared: NDArray[np.int64]


def blocks_of(source: LabelInput, block: Shape | None, *, memory_bytes: int) -> Grid:
    """Blocks of a frame in which it is measured; `block` (z, y, x) decides memory and speed, never a number."""
    shape = source.base.frame_shape
    unit = source.movie.chunk or (1, shape[1], shape[2])
    return Grid(shape, block or slab(shape, unit=unit, most=min(BLOCK_VOXELS, memory_bytes // VOXEL_BYTES)))


def measure_core(
    source: LabelInput, frame: int, core: Box, *, following: int | None
) -> tuple[ObjectSums, NDArray[np.int64]]:
    """Sums of what lies in a block, and the voxels it shares with the frame `following`, if that is asked for."""
    everything = Box.of_shape(source.base.frame_shape)
    crop = crop_to_measure(core, everything)
    labels = source.labels(frame, crop)
    owned = labels[core.inside(crop).slices]
    sums = measure_block(
        labels,
        source.grey(frame, core, labels=owned),
        crop=crop,
        core=core,
        frame=everything,
        spacing_um=source.base.spacing_um,
    )
    none = np.zeros((0, 3), np.int64)
    return sums, none if following is None else overlaps(owned, source.labels(following, core))


def table_of(source: LabelInput, sums: FrameSums) -> pd.DataFrame:
    """Rows of a frame under the given labels; intensities only where there is an image."""
    table = object_table(
        sums.objects,
        t=sums.frame,
        spacing_um=source.base.spacing_um,
        origin_um=source.base.translation_um,
        fallback=np.zeros(0, np.int64),
    )
    table["seed"] = GIVEN
    return table if source.has_image else table.drop(columns=["intensity_mean", "intensity_sum"])


def tables_to_link(source: LabelInput, frames: list[FrameSums]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Objects and overlaps of all frames, as `link_objects` takes them.

    Without an image the intensity is 0, which says nothing to linking. In one plane, where all nuclei are areas, the
    volume is that of the ball with the same cross section, so that radii and the volumes of daughters are what they
    are in 3D.
    """
    tables = [table_of(source, sums) for sums in frames]
    objects = pd.concat(tables, ignore_index=True).reindex(columns=_PLACE)
    objects["intensity_mean"] = objects["intensity_mean"].astype(np.float64).fillna(0.0)
    objects["volume_um3"] = volume_um3(
        objects["volume_voxels"], frame=source.base.frame_shape, spacing_um=source.base.spacing_um
    )
    shared = [pd.DataFrame(sums.shared, columns=list(OVERLAP_COLUMNS[1:])).assign(t=sums.frame) for sums in frames]
    return objects, pd.concat(shared, ignore_index=True)


def frames_and_labels(frames: Sequence[FrameSums]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frame (n,) and label (n,) of every nucleus."""
    counts = [len(sums.objects.label) for sums in frames]
    label = np.concatenate([np.zeros(0, np.int64), *(sums.objects.label for sums in frames)])
    return np.repeat(np.array([sums.frame for sums in frames], np.int64), counts), label
