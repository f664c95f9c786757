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
from tlseg.errors import MovieError
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.predict.normalise import QUANTILES, FrameStatistics
from tlseg.predict.quantiles import quantiles

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
        Reads a box of the frame. It is asked for nothing but slabs of whole planes, one after the other and a few times
        over, so that little is held in memory and no chunk is decoded for each of its tiles.
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
        For NaN or infinite values, dtypes that cannot be normalised, and constant or empty frames.
    """
    checked = _finite(read, dtype=dtype, frame=frame)
    dark, share = QUANTILES[scaling]
    voxels = NUCLEUS * math.prod(grid_um) / math.prod(spacing_um)
    a_nucleus = max(0.5, 1 - voxels / math.prod(shape))
    low, high, most, middle, top = quantiles(
        lambda: map(checked, _slabs(shape, dtype)), (dark, share, 1.0, 0.5, a_nucleus), dtype=dtype
    )
    side_um = TILE * grid_um[2]
    if scaling != "extremes" and any(n * s > WHOLE * side_um for n, s in zip(shape, spacing_um, strict=True)):
        z, y, x = (max(1, round(side_um / s)) for s in spacing_um)
        tiles = Grid(shape, (z, y, x))
        near = _neighbourhood(read, tiles, dtype=dtype, above=middle + STANDS_OUT * (top - middle))
        if near.any() and not near.all():
            (high,) = quantiles(lambda: _within(read, tiles, near, dtype=dtype), (share,), dtype=dtype)
    # A frame in which few voxels are bright still has contrast.
    high = high if high > low else most
    if not high > low:
        raise MovieError(
            f"Frame {frame} is constant: every voxel is {low:g}. A frame needs contrast to be normalised; leave it out "
            "with --frames A:B, or check the export of the movie."
        )
    return FrameStatistics(low, high, scaling)


def _finite(read: Read, *, dtype: str, frame: int) -> Read:
    """The same, but it refuses what is no number."""
    if np.dtype(dtype).kind != "f":
        return read

    def checked(box: Box) -> NDArray[Any]:
        values = read(box)
        bad = ~np.isfinite(values).all(axis=(1, 2))
        if bad.any():
            raise MovieError(
                f"Frame {frame} holds NaN or infinite values, first in plane z = {box.start[0] + int(bad.argmax())}. "
                "Replace them before segmenting, or leave the frame out with --frames A:B."
            )
        return values

    return checked


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


def _within(read: Read, tiles: Grid, near: NDArray[np.bool_], *, dtype: str) -> Iterator[NDArray[Any]]:
    """Grey values (1, n) of the chosen tiles in each plane; slabs without any are not read."""
    _, high, wide = tiles.frame
    _, tall, broad = tiles.block
    for slab in _slabs(tiles.frame, dtype):
        rows = [z // tiles.block[0] for z in range(slab.start[0], slab.stop[0])]
        if near[rows].any():
            for plane, row in zip(read(slab), rows, strict=True):
                yield plane[near[row].repeat(tall, axis=0)[:high].repeat(broad, axis=1)[:, :wide]][None]


def _slabs(shape: Shape, dtype: str) -> Iterator[Box]:
    """Boxes of whole planes that tile the frame."""
    planes = max(1, SLAB_BYTES // (shape[1] * shape[2] * np.dtype(dtype).itemsize))
    return iter(Grid(shape, (min(planes, shape[0]), shape[1], shape[2])))
