"""A frame is read in large boxes, and summed over the tiles of another grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tlseg.geometry import Box, Grid, Shape, slab

READ_BYTES = 64 * 2**20
"""Voxels read at once, unless chunks are larger."""

Read = Callable[[Box], NDArray[Any]]
"""Grey values (z, y, x) of a box of the frame."""


def boxes_to_read(shape: Shape, *, chunk: Shape, itemsize: int) -> Grid:
    """Boxes of whole chunks, so that none is decoded twice, of which one is read at once: `itemsize` is bytes a voxel."""
    return Grid(shape, slab(shape, unit=chunk, most=READ_BYTES // itemsize))


def tile_sums(
    read: Read,
    tiles: Grid,
    *,
    boxes: Grid,
    of: Callable[[NDArray[Any]], NDArray[Any]],
    dtype: DTypeLike = np.int64,
) -> NDArray[Any]:
    """Sum of something in each tile, shaped as tiles lie.

    Parameters
    ----------
    read
        Returns the grey values (z, y, x) of a box.
    tiles, boxes
        Of the same frame: what is summed, and what is read at once.
    of
        What is summed, of the grey values of a plane (y, x). Planes are taken one by one, as boxes may be large.
    dtype
        Of the sums.
    """
    sums = np.zeros(tiles.counts, dtype=dtype)
    for box in boxes:
        rows, *others = _tile_of(box, tiles)
        first_y, first_x = (np.flatnonzero(np.diff(tile, prepend=-1)) for tile in others)
        place = np.ix_(*map(np.unique, others))
        for row, plane in zip(rows, read(box), strict=True):
            part = np.add.reduceat(of(plane), first_x, axis=1, dtype=dtype)
            sums[row][place] += np.add.reduceat(part, first_y, axis=0, dtype=dtype)
    return sums


def tile_sizes(tiles: Grid) -> NDArray[np.int64]:
    """Number of voxels in each tile, shaped as tiles lie."""
    sides = [np.minimum(side, n - np.arange(0, n, side)) for n, side in zip(tiles.frame, tiles.block, strict=True)]
    sizes: NDArray[np.int64] = np.einsum("i,j,k->ijk", *sides)
    return sizes


def _tile_of(box: Box, tiles: Grid) -> tuple[NDArray[np.int64], ...]:
    """Grid position along each axis of the tile that every plane, row and column of a box is in."""
    return tuple(np.arange(a, b) // side for a, b, side in zip(box.start, box.stop, tiles.block, strict=True))
