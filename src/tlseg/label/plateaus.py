"""Which maxima lie on one plateau, whatever its shape and however it was cut?

A regional maximum of a saturated map is a plateau with many first voxels, one at each corner of a round surface. A block
joins connected voxels in its core and one voxel around it. Where a plateau continues in a neighbour, both name the same
voxel: the first of each piece of what both see, the two planes (at an edge or a corner of blocks, the few voxels) on either
side of what divides them. Voxels of two blocks that touch lie there, so no connection is missed.

A terrace is flat too but not a maximum: somewhere at its rim the map continues upwards. It is connected, so if it has voxels
that no neighbour exceeds, each piece of them touches an equally high voxel that some neighbour exceeds. The block that owns
the one that touches reports it, and the whole plateau is then not a maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, triple
from tlseg.label.components import groups_of

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
_DIRECTIONS = [d for d in product((-1, 0, 1), repeat=3) if any(d)]


@dataclass(frozen=True, slots=True)
class Plateaus:
    """What a block knows about plateaus.

    Parameters
    ----------
    links
        Pairs of positions (k, 2, 3) on one plateau: maxima, and voxels that a neighbouring block names too.
    terraces
        A position (m, 3) of each plateau that continues upwards within the core; likewise.
    """

    links: NDArray[np.int64]
    terraces: NDArray[np.int64]


def tops(sums: NDArray[Any], foreground: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Voxels of the foreground that no neighbour exceeds; and those of them on a terrace, as far as neighbours show it.

    Neighbours are the 26 around a voxel, in the foreground or not; plateaus end with the foreground. The second are right
    where two voxels around were seen, the first where one was.
    """
    highest = foreground & (sums == ndimage.maximum_filter(sums, size=3, mode="nearest"))
    slope = np.where(foreground & ~highest, sums, -1)
    return highest, highest & (ndimage.maximum_filter(slope, size=3, mode="nearest") == sums)


def plateaus_of(
    highest: NDArray[np.bool_],
    rising: NDArray[np.bool_],
    maxima: NDArray[np.int64],
    *,
    crop: Box,
    core: Box,
) -> Plateaus:
    """Plateaus of the core and one voxel around it.

    Parameters
    ----------
    highest
        Voxels (z, y, x) of `crop` that no neighbour exceeds, right in the core and one voxel around it. Two that touch are
        equally high.
    rising
        Those of them beside one as high that something exceeds (`tops`), right in the core.
    maxima
        Maxima in the core (n, 3), global voxels.
    crop, core
        What was read and what the block owns; the frame ends where the crop does not go beyond the core.
    """
    seen = core.grow((1, 1, 1)).intersect(crop)
    here = highest[seen.inside(crop).slices]
    pieces, count = ndimage.label(here, structure=_TOUCHING)
    shared = [_firsts(here, zone.inside(seen)) + np.array(seen.start) for zone in _zones(core, seen)]
    points = np.unique(np.concatenate([maxima, *shared]), axis=0)
    piece = pieces[tuple((points - np.array(seen.start)).T)]
    order = np.argsort(piece, kind="stable")
    points, piece = points[order], piece[order]
    _, first, counts = np.unique(piece, return_index=True, return_counts=True)
    pairs = np.stack([points[np.repeat(first, counts)], points], axis=1)
    up = np.zeros(count + 1, dtype=bool)
    up[pieces[core.inside(seen).slices][rising[core.inside(crop).slices]]] = True
    return Plateaus(pairs[np.repeat(first, counts) != np.arange(len(points))], points[first[up[piece[first]]]])


def join_plateaus(
    position: NDArray[np.int64], links: NDArray[np.int64], terraces: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Number of the plateau that each maximum (n, 3) lies on, and which of these numbers are terraces.

    `links` (k, 2, 3) and `terraces` (m, 3) are those of all blocks of the frame, in any order.
    """
    n, m = len(position), len(terraces)
    points = np.concatenate([position, terraces, links.reshape(-1, 3)])
    names, which = np.unique(points, axis=0, return_inverse=True)
    which = which.ravel()
    count, numbers = groups_of(len(names), which[n + m :].reshape(-1, 2))
    up = np.zeros(count, dtype=bool)
    up[numbers[which[n : n + m]]] = True
    return numbers[which[:n]], up


def _zones(core: Box, seen: Box) -> list[Box]:
    """What a block and each of its up to 26 neighbours both see: the planes on either side of what divides them."""
    zones = []
    for direction in _DIRECTIONS:
        start, stop = list(core.start), list(core.stop)
        for axis, side in enumerate(direction):
            if side < 0:
                start[axis], stop[axis] = core.start[axis] - 1, core.start[axis] + 1
            if side > 0:
                start[axis], stop[axis] = core.stop[axis] - 1, core.stop[axis] + 1
        zone = Box(triple(start), triple(stop))
        if seen.contains(zone):
            zones.append(zone)
    return zones


def _firsts(highest: NDArray[np.bool_], zone: Box) -> NDArray[np.int64]:
    """First voxel (n, 3) in C order of each piece of a zone."""
    pieces, _ = ndimage.label(highest[zone.slices], structure=_TOUCHING)
    numbers, flat = np.unique(pieces, return_index=True)
    first = np.stack(np.unravel_index(flat[numbers > 0], pieces.shape), axis=1)
    result: NDArray[np.int64] = first.astype(np.int64) + np.array(zone.start)
    return result
