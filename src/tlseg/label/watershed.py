"""A watershed that gives every voxel the same label in whatever crop it is computed, and knows when it does not.

*No ties.* Foreground voxels are flooded in the order of (relief, global position). The order of positions within a crop
is the order within the frame, so a rank within the crop stands for both, and no queue decides anything.

*A certificate.* What lies outside the crop can only flow in through foreground on its open faces (those that are not
the frame's edge). Every such voxel starts as a marker *unknown*, at its own height, which is at most the height at
which anything from outside could arrive. So a voxel that a seed wins against *unknown* cannot be won from outside, and
a block whose core holds no *unknown* voxel has the labels of the flood over the whole frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, Shape

UNKNOWN = -1


def squared_distance(foreground: NDArray[np.bool_], nm: Shape) -> NDArray[np.int64]:
    """Squared distance (nm^2) of foreground voxels (z, y, x) to the nearest background voxel; 0 in the background.

    Exact integers, from the positions of nearest voxels and the spacing `nm` in whole nanometres. A component that fills
    the array, so that no background is seen, gets the largest int64. Outside the array is not background.

    The nearest voxel outside a connected component touches it, so each component needs only its bounding box and one
    voxel around it.
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
    """Rank from 1 of every foreground voxel by (relief, position in C order); 0 elsewhere.

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
    Marker numbers; `UNKNOWN` where something from outside may win; 0 in the background and in components that no
    marker and no open face touches.
    """
    from tlseg.label.flooding import flood_by_rank

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
