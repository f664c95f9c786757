"""Which maxima lie on one plateau, whatever its shape and however it was cut?

A map that is saturated is flat where a nucleus is, and its first voxels are many: one at each corner of a round surface.
A block joins what hangs together in its core and one voxel around it. For what goes on in a neighbour, both name the same
voxel: the first of each piece of the two planes (at an edge or a corner of blocks, the few voxels) that both see.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlseg.geometry import Box

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
_DIRECTIONS = [d for d in product((-1, 0, 1), repeat=3) if any(d)]


def plateau_links(highest: NDArray[np.bool_], maxima: NDArray[np.int64], *, crop: Box, core: Box) -> NDArray[np.int64]:
    """Voxels of the core and one voxel around it that lie on one plateau.

    Parameters
    ----------
    highest
        Voxels (z, y, x) of `crop` that no neighbour exceeds, right in the core and one voxel around it. Two that touch are
        equally high.
    maxima
        Maxima in the core (n, 3), global voxels.
    crop, core
        What was read and what the block owns; the frame ends where the crop does not go beyond the core.

    Returns
    -------
    ndarray of int64 (k, 2, 3)
        Pairs of positions: maxima, and voxels that a neighbouring block names too.
    """
    seen = core.grow((1, 1, 1)).intersect(crop)
    here = highest[seen.inside(crop).slices]
    pieces, _ = ndimage.label(here, structure=_TOUCHING)
    shared = [_firsts(here, zone.inside(seen)) + np.array(seen.start) for zone in _zones(core, seen)]
    points = np.unique(np.concatenate([maxima, *shared]), axis=0)
    piece = pieces[tuple((points - np.array(seen.start)).T)]
    order = np.argsort(piece, kind="stable")
    points, piece = points[order], piece[order]
    _, first, counts = np.unique(piece, return_index=True, return_counts=True)
    pairs = np.stack([points[np.repeat(first, counts)], points], axis=1)
    result: NDArray[np.int64] = pairs[np.repeat(first, counts) != np.arange(len(points))]
    return result


def plateau_numbers(position: NDArray[np.int64], links: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the plateau that each maximum (n, 3) lies on, from the links (k, 2, 3) of all blocks of a frame."""
    points = np.concatenate([position, links.reshape(-1, 3)])
    names, which = np.unique(points, axis=0, return_inverse=True)
    which = which.ravel()
    one, other = which[len(position) :].reshape(-1, 2).T
    graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(len(names), len(names)))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1][which[: len(position)]].astype(np.int64)
    return numbers


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
        zone = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
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
