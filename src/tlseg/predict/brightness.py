"""How bright is this frame where there is anything in it?

The brightest thousandth of a frame says how bright nuclei are only while the frame is filled with them. In a wide field
around one embryo it would be background. So it is taken of the neighbourhood of what stands out from the background,
on tiles that lie the same way however the frame is cut; a frame no wider than a neighbourhood is taken whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.config import Scaling
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.predict.normalise import BINS, FrameStatistics, histogram, quantile, statistics

TILE = 64
"""Side of a tile in voxels of the network's grid along x; a nucleus' neighbourhood is its tile and those around it."""
WHOLE = 2.5
"""A frame of no more than this many tiles along each axis is one neighbourhood."""
NUCLEUS = 4096
"""Voxels of the network's grid in a nucleus of usual size."""
STANDS_OUT = 0.3
"""What stands out is brighter than this share of the way from the median to the brightest nucleus' worth of voxels."""
SHARE = 0.01
"""Least share of a tile's voxels that stand out where there is something in it."""
SLAB_BYTES = 64 * 2**20

Read = Callable[[Box], NDArray[Any]]
"""Grey values (z, y, x) of a box of the frame."""


def measure_brightness(
    read: Read, *, shape: Shape, dtype: str, spacing_um: Spacing, grid_um: Spacing, scaling: Scaling, frame: int = 0
) -> FrameStatistics:
    """Grey values of a frame that become 0 and 1.

    Parameters
    ----------
    read
        Reads a box of the frame; it is asked for slabs of whole planes, so that little is held in memory.
    shape, dtype, spacing_um
        Of the frame: voxels (z, y, x), numpy dtype, micrometres (z, y, x).
    grid_um
        Voxel spacing the network sees: nuclei are of one size there, and so are tiles.
    scaling
        With "extremes" the whole frame counts.
    frame
        Its number, for errors.

    Raises
    ------
    MovieError
        For NaN or infinite values, dtypes no histogram is made of, and constant or empty frames.
    """
    counts = np.zeros(BINS, dtype=np.int64)
    for slab in _slabs(shape, dtype):
        counts += histogram(read(slab))
    side_um = TILE * grid_um[2]
    whole = all(n * s <= WHOLE * side_um for n, s in zip(shape, spacing_um, strict=True))
    if whole or scaling == "extremes":
        return statistics(counts, dtype, frame=frame, scaling=scaling)
    z, y, x = (max(1, round(side_um / s)) for s in spacing_um)
    tiles = Grid(shape, (z, y, x))
    voxels = NUCLEUS * math.prod(grid_um) / math.prod(spacing_um)
    low, top = quantile(counts, 0.5, dtype), quantile(counts, max(0.5, 1 - voxels / math.prod(shape)), dtype)
    near = _neighbourhood(read, tiles, dtype=dtype, above=low + STANDS_OUT * (top - low))
    if near.all() or not near.any():
        return statistics(counts, dtype, frame=frame, scaling=scaling)
    bright = np.zeros(BINS, dtype=np.int64)
    for position in np.argwhere(near):
        bright += histogram(read(tiles.core((int(position[0]), int(position[1]), int(position[2])))))
    return statistics(counts, dtype, frame=frame, scaling=scaling, bright=bright)


def _neighbourhood(read: Read, tiles: Grid, *, dtype: str, above: float) -> NDArray[np.bool_]:
    """Which tiles have something in them, or lie beside one that has."""
    standing = np.zeros(tiles.counts, dtype=np.int64)
    voxels = np.zeros(tiles.counts, dtype=np.int64)
    starts = [np.arange(0, n, b) for n, b in zip(tiles.frame[1:], tiles.block[1:], strict=True)]
    for slab in _slabs(tiles.frame, dtype):
        bright = read(slab) > above
        for plane, z in zip(bright, range(slab.start[0], slab.stop[0]), strict=True):
            row = z // tiles.block[0]
            standing[row] += np.add.reduceat(
                np.add.reduceat(plane, starts[0], axis=0, dtype=np.int64), starts[1], axis=1
            )
    for index in range(len(tiles)):
        position = tiles.position(index)
        voxels[position] = tiles.core(position).size
    near: NDArray[np.bool_] = ndimage.binary_dilation(
        standing > SHARE * voxels, structure=np.ones((3, 3, 3), dtype=bool)
    )
    return near


def _slabs(shape: Shape, dtype: str) -> Iterator[Box]:
    """Boxes of whole planes that tile the frame."""
    planes = max(1, SLAB_BYTES // (shape[1] * shape[2] * np.dtype(dtype).itemsize))
    return iter(Grid(shape, (min(planes, shape[0]), shape[1], shape[2])))
