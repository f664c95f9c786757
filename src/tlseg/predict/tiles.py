"""Sums over the tiles of a frame that is read in other boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tlseg.geometry import Box, Grid


def tile_sums(
    read: Callable[[Box], NDArray[Any]], boxes: Grid, tiles: Grid, *, dtype: DTypeLike = np.int64
) -> NDArray[Any]:
    """Sum of what `read` returns for the voxels of each tile, shaped as tiles lie.

    Parameters
    ----------
    read
        Returns a value for each voxel (z, y, x) of a box.
    boxes, tiles
        Of the same frame: what is read at once, and what is summed.
    dtype
        Of the sums.
    """
    sums = np.zeros(tiles.counts, dtype=dtype)
    for box in boxes:
        part = read(box)
        rows = _tile_of(box, tiles)
        for axis in (2, 1, 0):
            first = np.flatnonzero(np.diff(rows[axis], prepend=-1))
            part = np.add.reduceat(part, first, axis=axis, dtype=dtype)
        sums[np.ix_(*map(np.unique, rows))] += part
    return sums


def tile_sizes(tiles: Grid) -> NDArray[np.int64]:
    """Number of voxels in each tile, shaped as tiles lie."""
    sides = [np.minimum(side, n - np.arange(0, n, side)) for n, side in zip(tiles.frame, tiles.block, strict=True)]
    sizes: NDArray[np.int64] = np.einsum("i,j,k->ijk", *sides)
    return sizes


def _tile_of(box: Box, tiles: Grid) -> tuple[NDArray[np.int64], ...]:
    """Grid position along each axis of the tile that every plane, row and column of a box is in."""
    return tuple(np.arange(a, b) // side for a, b, side in zip(box.start, box.stop, tiles.block, strict=True))
