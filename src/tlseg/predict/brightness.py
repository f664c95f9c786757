"""How bright is a frame where there are nuclei in it?

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
from tlseg.geometry import Box, Grid, Shape, Spacing, ball_radius, slab, triple
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
READ_BYTES = 64 * 2**20
"""Voxels read at once, unless chunks are larger."""

Read = Callable[[Box], NDArray[Any]]
"""Grey values (z, y, x) of a box of the frame."""


def nucleus_um(grid_um: Spacing) -> float:
    """Width, as that of a ball, of the nuclei that networks with this grid (z, y, x) know, micrometres."""
    return 2 * float(ball_radius(NUCLEUS * math.prod(grid_um)))


def measure_brightness(
    read: Read,
    *,
    shape: Shape,
    dtype: str,
    spacing_um: Spacing,
    grid_um: Spacing,
    scaling: Scaling,
    frame: int = 0,
    chunk: Shape = (1, 1, 1),
) -> FrameStatistics:
    """Grey values of a frame that become 0 and 1.

    Parameters
    ----------
    read
        Reads a box of the frame. The frame is read once for each of up to three questions (five of float32).
    shape, dtype, spacing_um
        Of the frame: voxels (z, y, x), numpy dtype, micrometres (z, y, x).
    grid_um
        Voxel spacing the network sees: nuclei are of one size there, and so are tiles.
    scaling
        With "extremes" the whole frame counts.
    frame
        Its number, for errors.
    chunk
        Voxels (z, y, x) that are decoded at once: boxes are whole chunks, so that none is decoded twice for a question.

    Raises
    ------
    MovieError
        For NaN or infinite values, dtypes that cannot be normalised, and empty or (all but) constant frames.
    """
    checked = _finite(read, dtype=dtype, frame=frame)
    boxes = Grid(shape, slab(shape, unit=chunk, most=READ_BYTES // np.dtype(dtype).itemsize))
    dark, share = QUANTILES[scaling]
    voxels = NUCLEUS * math.prod(grid_um) / math.prod(spacing_um)
    a_nucleus = max(0.5, 1 - voxels / math.prod(shape))
    low, high, most, middle, top = quantiles(
        lambda: map(checked, boxes), (dark, share, 1.0, 0.5, a_nucleus), dtype=dtype
    )
    side_um = TILE * grid_um[2]
    if scaling != "extremes" and any(n * s > WHOLE * side_um for n, s in zip(shape, spacing_um, strict=True)):
        tiles = Grid(shape, triple(max(1, round(side_um / s)) for s in spacing_um))
        near = _neighbourhood(read, boxes, tiles, above=middle + STANDS_OUT * (top - middle))
        if near.any() and not near.all():
            (high,) = quantiles(lambda: _within(read, boxes, tiles, near), (share,), dtype=dtype)
    # A frame in which few voxels are bright still has contrast.
    high = high if high > low else most
    if not high > low:
        raise MovieError(
            f"Frame {frame} is constant: every voxel is {low:g}. A frame needs contrast to be normalised; check the "
            f"export of the movie, or leave the frame empty with --skip-frames {frame}."
        )
    found = FrameStatistics(low, high, scaling)
    with np.errstate(all="ignore"):
        scaled = found.normalise(np.array([low, most]))
    if not np.isfinite(scaled).all():
        raise MovieError(
            f"Frame {frame} is almost constant: from {low:g} to {high:g} there is too little contrast for 32-bit numbers. "
            f"Scale up its grey values, or leave the frame empty with --skip-frames {frame}."
        )
    return found


def _finite(read: Read, *, dtype: str, frame: int) -> Read:
    """The same reader, but it refuses NaN and infinite values."""
    if np.dtype(dtype).kind != "f":
        return read

    def checked(box: Box) -> NDArray[Any]:
        values = read(box)
        bad = ~np.isfinite(values).all(axis=(1, 2))
        if bad.any():
            raise MovieError(
                f"Frame {frame} holds NaN or infinite values, in plane z = {box.start[0] + int(bad.argmax())}. "
                f"Replace them before segmenting, or leave the frame empty with --skip-frames {frame}."
            )
        return values

    return checked


def _neighbourhood(read: Read, boxes: Grid, tiles: Grid, *, above: float) -> NDArray[np.bool_]:
    """Which tiles have something in them, or lie beside one that has."""
    standing = np.zeros(tiles.counts, dtype=np.int64)
    for box in boxes:
        count: NDArray[Any] = read(box) > above
        rows = _tile_of(box, tiles)
        for axis in (2, 1, 0):
            first = np.flatnonzero(np.diff(rows[axis], prepend=-1))
            count = np.add.reduceat(count, first, axis=axis, dtype=np.int64)
        standing[np.ix_(*map(np.unique, rows))] += count
    voxels = np.array([core.size for core in tiles]).reshape(tiles.counts)
    near: NDArray[np.bool_] = ndimage.binary_dilation(
        standing > SHARE * voxels, structure=np.ones((3, 3, 3), dtype=bool)
    )
    return near


def _within(read: Read, boxes: Grid, tiles: Grid, near: NDArray[np.bool_]) -> Iterator[NDArray[Any]]:
    """Grey values (1, n) of the chosen tiles in each plane; boxes without any are not read."""
    for box in boxes:
        z, y, x = _tile_of(box, tiles)
        if near[np.ix_(*map(np.unique, (z, y, x)))].any():
            for plane, row in zip(read(box), z, strict=True):
                yield plane[near[row][np.ix_(y, x)]][None]


def _tile_of(box: Box, tiles: Grid) -> tuple[NDArray[np.int64], ...]:
    """Grid position along each axis of the tile that every plane, row and column of a box is in."""
    return tuple(np.arange(a, b) // side for a, b, side in zip(box.start, box.stop, tiles.block, strict=True))
