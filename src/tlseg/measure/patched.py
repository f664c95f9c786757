"""Tables of a frame in which some nuclei were replaced; the rest is not measured again.

Sums are whole numbers, so a table updated this way equals that of the repaired labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box, Spacing
from tlseg.measure.objects import ObjectSums, add_overlaps, add_sums, crop_to_measure, measure_block, overlaps

ReadLabels = Callable[[Box], NDArray[np.uint32]]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """What is known of new nuclei of a frame.

    Parameters
    ----------
    replaced
        Numbers of the nuclei they replace.
    sums
        Sums of the new ones.
    before, after
        Rows (label before, label after, voxels) of voxels they share with the frame before and the frame after.
    """

    replaced: NDArray[np.int64]
    sums: ObjectSums
    before: Rows
    after: Rows


def measure_replacement(
    read: ReadLabels,
    grey: Callable[[Box], NDArray[Any]],
    *,
    box: Box,
    labels: NDArray[np.int64],
    replaced: NDArray[np.int64],
    frame: Box,
    spacing_um: Spacing,
    read_before: ReadLabels | None,
    read_after: ReadLabels | None,
) -> Replacement:
    """Measure nuclei that lie within a box.

    Parameters
    ----------
    read, read_before, read_after
        Labels (z, y, x) of a box of this frame, the one before and the one after, all of them repaired; None if there is no
        such frame.
    grey
        Grey values (z, y, x) of a box.
    box, labels
        Where the new nuclei lie, and their numbers.
    replaced
        Numbers of the nuclei they replace.
    """
    core = box.grow((1, 1, 1)).intersect(frame)
    crop = crop_to_measure(core, frame)
    here = read(crop)
    here = np.where(np.isin(here, labels), here, 0).astype(np.uint32)
    sums = measure_block(here, grey(core), crop=crop, core=core, frame=frame, spacing_um=spacing_um)
    mine = here[core.inside(crop).slices]
    none = np.zeros((0, 3), dtype=np.int64)
    return Replacement(
        replaced,
        sums,
        none if read_before is None else overlaps(read_before(core), mine),
        none if read_after is None else overlaps(mine, read_after(core)),
    )


def mend_objects(objects: ObjectSums, replacements: list[Replacement]) -> ObjectSums:
    """Sums of a frame with some nuclei replaced by new ones."""
    gone = np.concatenate([np.zeros(0, np.int64), *(r.replaced for r in replacements)])
    kept = ~np.isin(objects.label, gone)
    rest = ObjectSums(**{name: values[kept] for name, values in objects.to_arrays().items()})
    return add_sums([rest, *(r.sums for r in replacements)])


def mend_overlaps(shared: Rows, here: list[Replacement], following: list[Replacement]) -> Rows:
    """Overlap rows of a frame with the next, with new nuclei in either frame."""
    gone_here, gone_next = (
        np.concatenate([np.zeros(0, np.int64), *(r.replaced for r in part)]) for part in (here, following)
    )
    rest = shared[~np.isin(shared[:, 0], gone_here) & ~np.isin(shared[:, 1], gone_next)]
    # Two new nuclei that share voxels are seen from both frames.
    new = np.concatenate([np.zeros((0, 3), np.int64), *(r.after for r in here), *(r.before for r in following)])
    return add_overlaps([rest, np.unique(new, axis=0)])
