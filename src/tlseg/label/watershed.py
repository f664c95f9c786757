"""A seeded watershed that gives every voxel the same label in whatever crop it is computed, or says that it cannot.

*No ties.* Meyer's flooding (1994) takes foreground voxels in the order of their heights, here (relief, position in C order).
All heights differ, so no queue decides anything. Positions of a crop have the same order as in the frame, so ranks within
the crop compare as ranks within the frame would.

*A certificate.* Every path of foreground voxels from a marker to a voxel has a highest rank; the least of these, over all
paths, is the voxel's level. A flood takes voxels in the order of their levels. Those of one level are all reached through
the voxel whose rank it is, and share its label. So a voxel that is not a marker gets the label of its lowest neighbour.

What lies outside a crop can flow in only through its open faces, those that are not the frame's edge. Each foreground voxel
on them that is not a seed becomes a marker *unknown*. Then:

1. No voxel has a higher level in the crop than in the frame: a path from a seed outside enters the crop through an open
   face, and the rest of it begins at a marker of the crop.
2. A voxel that a seed wins in the crop has the same level and label in the frame, if all voxels do that the seeds won before
   it. A seed does. Any other such voxel lies on no open face, so the crop holds all its neighbours. The lowest of them was
   won by the same seed, hence is as low in the frame, where by (1) no other neighbour is lower.

Hence a block whose core holds no *unknown* voxel has the labels of a flood over the whole frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, Shape

UNKNOWN = -1
"""Label of voxels that something from outside the crop may win."""


def squared_distance(foreground: NDArray[np.bool_], nm: Shape) -> NDArray[np.int64]:
    """Squared distance (nm^2) of foreground voxels (z, y, x) to the nearest background voxel; 0 in the background.

    Outside the array is not background. If there is none at all, distances are the largest int64.

    Notes
    -----
    Distances are whole numbers, from the positions of nearest voxels and the spacing `nm` in whole nanometres. SciPy finds
    these voxels in float64 (Maurer et al. 2003). It compares whole numbers, which either are equal or differ by the side of
    a voxel times a squared nanometre at least, and rounding errors are smaller up to a solid millimetre of foreground.

    Each component needs only its bounding box and one voxel around it, because the voxel outside a component that is
    nearest to one inside shares a face with it: a step from the former towards the latter leads nearer, so into the
    component. For the same reason it is background and not part of another component.
    """
    result = np.zeros(foreground.shape, dtype=np.int64)
    components, _ = ndimage.label(foreground)
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        wide = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        inside = components[wide] == number
        if inside.all():
            result[wide] = np.iinfo(np.int64).max
            continue
        nearest = ndimage.distance_transform_edt(inside, sampling=nm, return_distances=False, return_indices=True)
        at = np.nonzero(inside)
        total = np.zeros(len(at[0]), dtype=np.int64)
        for axis in range(3):
            total += ((nearest[axis][at] - at[axis]).astype(np.int64) * nm[axis]) ** 2
        result[wide][at] = total
    return result


def flood_order(relief: NDArray[np.int64], foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Rank of every foreground voxel (z, y, x), from 1, by (relief, position in C order); 0 in the background.

    Two crops of one frame rank the voxels they share in the same order.
    """
    heights = relief[foreground]
    if heights.size and np.iinfo(np.int16).min <= heights.min() and heights.max() <= np.iinfo(np.int16).max:
        heights = heights.astype(np.int16)  # sorted by radix: several times faster
    rank = np.empty(len(heights), dtype=np.int32)
    rank[np.argsort(heights, kind="stable")] = np.arange(1, len(heights) + 1, dtype=np.int32)
    order = np.zeros(foreground.shape, dtype=np.int32)
    order[foreground] = rank
    return order


def flood(
    order: NDArray[np.int32], foreground: NDArray[np.bool_], *, markers: NDArray[np.int32], crop: Box, frame: Box
) -> NDArray[np.int32]:
    """Flood a crop from its markers, with *unknown* coming in through its open faces.

    Parameters
    ----------
    order
        `flood_order` of the crop (z, y, x).
    markers
        Positive numbers at seeds; a seed on an open face stays a seed.
    crop, frame
        Where the crop lies; its faces on the frame's edge are closed.

    Returns
    -------
    ndarray of int32 (z, y, x)
        Marker numbers; `UNKNOWN` where something from outside may win; 0 in the background and in components that no
        marker and no open face touches.
    """
    from tlseg.label.flooding import flood_by_rank  # numba is slow to import, and planning a run needs none

    entrance = open_faces(crop, frame) & foreground & (markers == 0)
    flooded = np.where(entrance, np.int32(UNKNOWN), markers).astype(np.int32)
    flooded[~foreground] = 0
    flood_by_rank(np.ascontiguousarray(order), flooded)
    return flooded


def open_faces(crop: Box, frame: Box) -> NDArray[np.bool_]:
    """Voxels (z, y, x) on faces of the crop that are not the frame's edge."""
    entrance = np.zeros(crop.shape, dtype=bool)
    for axis in range(3):
        plane: list[Any] = [slice(None)] * 3
        if crop.start[axis] > frame.start[axis]:
            plane[axis] = 0
            entrance[tuple(plane)] = True
        if crop.stop[axis] < frame.stop[axis]:
            plane[axis] = -1
            entrance[tuple(plane)] = True
    return entrance
