"""Which foreground is connected, across all blocks?

A block labels the connected components (faces of voxels, 6-connectivity) of its core. Two blocks join theirs without
exchanging pixels: both see the first plane of the later one, label the same voxels of it in two dimensions, and so number
its pieces alike. Voxels of one piece are connected within the later block, so a piece belongs to one component there. All
components of a frame are then joined once, in a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlseg.geometry import Box, Grid, triple


@dataclass(frozen=True, slots=True)
class BlockComponents:
    """Components 1..n of a block's core.

    Parameters
    ----------
    voxels
        (n,) int64, voxels of each component in this core.
    first
        (n,) int64, flat index in the frame of each component's first voxel in C order.
    low, high
        For each axis, rows (piece, component) of int64: pieces of this core's first plane, and pieces of the next
        block's first plane with the components of this core that touch them.
    """

    voxels: NDArray[np.int64]
    first: NDArray[np.int64]
    low: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    high: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def core_components(foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Components of a core (z, y, x), numbered from 1; 0 is background."""
    components: NDArray[np.int32] = ndimage.label(foreground)[0].astype(np.int32, copy=False)
    return components


def describe(foreground: NDArray[np.bool_], *, crop: Box, core: Box, frame: Box) -> BlockComponents:
    """Components of a core and how they meet the blocks around.

    `foreground` (z, y, x) is that of `crop`, which holds the core and one more plane after it along each axis except
    where the frame ends.
    """
    inner = core.inside(crop)
    components = core_components(foreground[inner.slices])
    numbers = np.arange(1, int(components.max(initial=0)) + 1)
    voxels = np.bincount(components.ravel(), minlength=len(numbers) + 1)[1:]
    return BlockComponents(
        voxels=voxels.astype(np.int64),
        first=_first_voxels(components, core=core, frame=frame),
        low=triple(_low_face(components, axis) for axis in range(3)),
        high=triple(
            _high_face(components, foreground, inner=inner, axis=axis, open_=core.stop[axis] < frame.stop[axis])
            for axis in range(3)
        ),
    )


@dataclass(frozen=True, slots=True)
class FrameComponents:
    """Components 0..n-1 of a whole frame.

    Parameters
    ----------
    of
        For each block, the frame's component that each of its own belongs to.
    voxels, first
        Voxels of each component, and flat index of its first voxel in C order, shape (n,).
    """

    of: list[NDArray[np.int64]]
    voxels: NDArray[np.int64]
    first: NDArray[np.int64]


def join(blocks: list[BlockComponents], grid: Grid) -> FrameComponents:
    """Join components of blocks, in the grid's order, that touch across faces."""
    counts = [len(b.voxels) for b in blocks]
    offsets = np.cumsum([0, *counts])
    pairs = [np.zeros((0, 2), np.int64)]
    for number, block in enumerate(blocks):
        for axis in range(3):
            if not len(block.high[axis]):
                continue
            after = list(grid.position(number))
            after[axis] += 1
            neighbour = grid.index(triple(after))
            component_of = dict(blocks[neighbour].low[axis].tolist())
            pieces, components = block.high[axis].T
            theirs = np.array([component_of[piece] for piece in pieces.tolist()], dtype=np.int64)
            pairs.append(np.stack([offsets[number] + components - 1, offsets[neighbour] + theirs - 1], axis=1))
    n, of = groups_of(int(offsets[-1]), np.concatenate(pairs))
    voxels, first = np.zeros(n, dtype=np.int64), np.full(n, np.iinfo(np.int64).max)
    np.add.at(voxels, of, np.concatenate([b.voxels for b in blocks]))
    np.minimum.at(first, of, np.concatenate([b.first for b in blocks]))
    return FrameComponents(np.split(of, offsets[1:-1]), voxels, first)


def groups_of(count: int, pairs: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """Join the numbers below `count` in pairs (k, 2); returns how many groups there are, and the group of each."""
    graph = coo_array((np.ones(len(pairs), dtype=bool), tuple(pairs.T)), shape=(count, count))
    groups, of = connected_components(graph, directed=False)
    return groups, of.astype(np.int64)


def _first_voxels(components: NDArray[np.int32], *, core: Box, frame: Box) -> NDArray[np.int64]:
    """Flat frame index of each component's first voxel in C order (which is first in the core's C order too)."""
    flat = components.ravel()
    at = np.flatnonzero(flat)
    _, where = np.unique(flat[at], return_index=True)
    inside = np.stack(np.unravel_index(at[where], components.shape)) + np.array(core.start)[:, None]
    first: NDArray[np.int64] = np.ravel_multi_index(tuple(inside), frame.shape)
    return first


def _low_face(components: NDArray[np.int32], axis: int) -> NDArray[np.int64]:
    plane = np.take(components, 0, axis=axis)
    pieces = ndimage.label(plane > 0)[0]
    return _pairs(pieces, plane)


def _high_face(
    components: NDArray[np.int32], foreground: NDArray[np.bool_], *, inner: Box, axis: int, open_: bool
) -> NDArray[np.int64]:
    if not open_:
        return np.zeros((0, 2), dtype=np.int64)
    beyond = list(inner.slices)
    beyond[axis] = slice(inner.stop[axis], inner.stop[axis] + 1)
    pieces = ndimage.label(foreground[tuple(beyond)].squeeze(axis))[0]
    return _pairs(pieces, np.take(components, -1, axis=axis))


def _pairs(pieces: NDArray[Any], components: NDArray[Any]) -> NDArray[np.int64]:
    """Unique (piece, component) rows where both planes hold something."""
    both = (pieces > 0) & (components > 0)
    rows = np.stack([pieces[both], components[both]], axis=1).astype(np.int64)
    return np.unique(rows, axis=0).reshape(-1, 2)
