"""Take a label apart at the nuclei it is known to hold, by the same watershed that made it.

What is flooded is the distance to all that is not this label, and every voxel of it gets a nucleus: none is lost, and
no other label is touched. Which voxels are certainly whose is told by a power diagram (Aurenhammer 1987), in which balls
that overlap are divided where their surfaces meet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box, Spacing, ball_radius, spacing_nm, triple
from tlseg.label.watershed import flood, flood_order, squared_distance

_CORE = 0.6
"""Share of its radius around a nucleus's centre that certainly belongs to it."""
_MOST_CHANGE = 2.0
"""Largest factor by which the volume of a part may differ from what it should be."""


def take_apart(
    mask: NDArray[np.bool_],
    centres_um: NDArray[np.float64],
    volumes_um3: NDArray[np.float64] | None,
    *,
    spacing_um: Spacing,
) -> NDArray[np.uint8] | None:
    """Divide a label between nuclei.

    Parameters
    ----------
    mask
        Voxels (z, y, x) of the label.
    centres_um, volumes_um3
        Where the nuclei should be, from the first voxel of `mask`, shape (k, 3), and how large, shape (k,), or None if
        that is unknown: then each is taken for a ball as deep as the label is at its centre, and parts may have any size.
    spacing_um
        Voxel size (z, y, x).

    Returns
    -------
    ndarray of uint8 (z, y, x) or None
        1 to k inside the mask, 0 outside; None where the label cannot be so divided.
    """
    places = np.argwhere(mask)
    if len(places) < len(centres_um):
        return None
    at_um = places * np.array(spacing_um)
    squared = ((at_um[:, None] - centres_um[None]) ** 2).sum(axis=2)
    depth_nm2 = squared_distance(np.pad(mask, 1), spacing_nm(spacing_um))[1:-1, 1:-1, 1:-1]
    if volumes_um3 is None:
        radii = np.sqrt(depth_nm2[tuple(places[np.argmin(squared, axis=0)].T)]) / 1000
    else:
        radii = ball_radius(volumes_um3)
    power = squared - radii**2
    nearest = np.argmin(power, axis=1)
    own = power[np.arange(len(places)), nearest] + radii[nearest] ** 2  # squared distance from the centre
    core = own <= (_CORE * radii[nearest]) ** 2
    for nucleus in range(len(radii)):
        mine = np.flatnonzero(nearest == nucleus)
        if not len(mine):
            return None
        core[mine[np.argmin(own[mine])]] = True
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(places[core].T)] = nearest[core] + 1
    everything = Box.of_shape(triple(mask.shape))
    flooded = flood(flood_order(-depth_nm2, mask), mask, markers=markers, crop=everything, frame=everything)
    parts = flooded[tuple(places.T)]
    parts = np.where(parts > 0, parts, nearest + 1)  # pieces that no core lies in
    found = np.bincount(parts, minlength=len(radii) + 1)[1:]
    if volumes_um3 is None:
        if (found < np.bincount(nearest, minlength=len(radii)) / _MOST_CHANGE).any():
            parts = nearest + 1  # without a neck between them, the first to reach the middle gets nearly all
    else:
        volumes = found * float(np.prod(spacing_um))
        if (np.maximum(volumes, volumes_um3) > _MOST_CHANGE * np.minimum(volumes, volumes_um3)).any():
            return None
    divided = np.zeros(mask.shape, dtype=np.uint8)
    divided[tuple(places.T)] = parts
    return divided
