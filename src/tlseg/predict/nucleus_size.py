"""How wide are the nuclei of a frame that no network has seen yet?

The estimate needs no model. What stands out of the background is looked at in finer and coarser grids; how far its voxels
are from the background tells how wide nuclei are, however many of them touch. Noise looks a few steps wide in any grid, so
nuclei must be wider than that. In a grid that is finer than needed, their texture looks like gaps; in a much coarser one,
gaps between them are gone. So the finest grid counts in which they are wide enough, or the next ones as long as it is very
fine for them and they do not flow into one another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, Grid, Shape, Spacing, triple
from tlseg.predict.normalise import FrameStatistics
from tlseg.predict.tiles import Read, boxes_to_read, tile_sizes, tile_sums

LEVEL = 0.12
"""What stands out is brighter than this share of the way from a frame's low to its high value: about where people draw."""
RESOLVED, FINE = 10.0, 20.0
"""Least width of nuclei in steps of the grid they are measured in, and the width from which a coarser grid would do."""
JUMP = 1.6
"""Nuclei that look this many times as wide in a coarser grid as in the finest have flowed into one another."""
OBLONG = 1.15
"""Width of nuclei of a volume relative to that of balls in which voxels lie as deep: that of nuclei of BBBC050."""
MOST_FILLED = 0.6
"""A grid in which more than this share stands out shows no background that could be told from nuclei."""
MOST_VOXELS = 2**22
"""Voxels of the finest grid; of a larger frame, its fullest part is looked at in the end."""


@dataclass(frozen=True, slots=True)
class _Means:
    """Means of grey values (z, y, x), and the voxel spacing they are at, micrometres."""

    values: NDArray[np.float32]
    spacing_um: Spacing

    @property
    def step_um(self) -> float:
        """Spacing along the finest axis of those that have more than one voxel; of a single voxel none tells anything."""
        return min((s for s, n in zip(self.spacing_um, self.values.shape, strict=True) if n > 1), default=math.inf)


def seen_nucleus_um(
    read: Read, *, shape: Shape, spacing_um: Spacing, statistics: FrameStatistics, chunk: Shape = (1, 1, 1)
) -> float | None:
    """How wide the nuclei of a frame are, about, micrometres; None if nothing in it looks like nuclei.

    Parameters
    ----------
    read
        Reads a box of the frame. The frame is read once and, if it is large, smaller and smaller parts of it again.
    shape, spacing_um
        Of the frame: voxels (z, y, x), micrometres (z, y, x). In a single plane, nuclei are discs.
    statistics
        Grey values of the frame that become 0 and 1, by quantiles.
    chunk
        Voxels (z, y, x) that are decoded at once.
    """
    level = statistics.low + LEVEL * (statistics.high - statistics.low)
    box = Box.of_shape(shape)
    grids = _coarser_and_coarser(_read(read, box, spacing_um=spacing_um, most=statistics.high, chunk=chunk))
    while grids[0].spacing_um != spacing_um and (bright := _smooth(grids[0]) > level).any():
        box = _fullest(bright, box)
        grids.insert(0, _read(read, box, spacing_um=spacing_um, most=statistics.high, chunk=chunk))
    return _width_in((_width_um(grid, level=level), grid.step_um) for grid in grids)


def _width_in(grids: Iterable[tuple[float, float]]) -> float | None:
    """Which of the widths counts, of those seen in finer and coarser grids of this step, the finest first."""
    found: list[float] = []
    for width, step in grids:
        resolved = width >= RESOLVED * step
        if found and not (resolved and width <= JUMP * found[0]):
            break
        if resolved:
            found.append(width)
            if width <= FINE * step:
                break
    return found[-1] if found else None


def _read(read: Read, box: Box, *, spacing_um: Spacing, most: float, chunk: Shape) -> _Means:
    """Part of a frame, without the brightest values, at its own spacing or the finest one that has not too many voxels."""
    side: Shape = (1, 1, 1)
    while math.prod(tiles := Grid(box.shape, side).counts) > MOST_VOXELS:
        side = triple(s * by for s, by in zip(side, _halving(_times(spacing_um, side), tiles), strict=True))
    tiled = Grid(box.shape, side)
    boxes = boxes_to_read(box.shape, chunk=chunk, itemsize=4)
    sums = tile_sums(
        lambda part: read(part.shift(box.start)),
        tiled,
        boxes=boxes,
        of=lambda plane: np.minimum(plane, most),
        dtype=np.float64,
    )
    return _Means((sums / tile_sizes(tiled)).astype(np.float32), _times(spacing_um, side))


def _coarser_and_coarser(finest: _Means) -> list[_Means]:
    """The grid, and coarser ones as long as a nucleus could be told from the whole."""
    grids = [finest]
    while max((values := grids[-1].values).shape) > 2 * RESOLVED:
        by = _halving(grids[-1].spacing_um, triple(values.shape))
        z, y, x = (n // f for n, f in zip(values.shape, by, strict=True))
        whole = values[: z * by[0], : y * by[1], : x * by[2]]
        means = whole.reshape(z, by[0], y, by[1], x, by[2]).mean(axis=(1, 3, 5))
        grids.append(_Means(means, _times(grids[-1].spacing_um, by)))
    return grids


def _halving(spacing_um: Spacing, shape: Shape) -> Shape:
    """By how much each axis becomes coarser in the next grid: not at all if it is much coarser than others already."""
    step = min(s for s, n in zip(spacing_um, shape, strict=True) if n > 1)
    return triple(2 if n > 1 and s <= math.sqrt(2) * step else 1 for s, n in zip(spacing_um, shape, strict=True))


def _width_um(grid: _Means, *, level: float) -> float:
    """Width of what is brighter than this in a grid; 0 if nothing is, or too much.

    In a ball (disc) of radius r the depth of voxels is on average r / 4 (r / 3), and its square r^2 / 10 (r^2 / 6). The
    ratio of the two gives specks of noise little weight.
    """
    bright = _smooth(grid) > level
    if not 0 < bright.mean() < MOST_FILLED:
        return 0.0
    axes = [axis for axis, n in enumerate(bright.shape) if n > 1]
    depth = ndimage.distance_transform_edt(bright.squeeze(), sampling=[grid.spacing_um[axis] for axis in axes])
    # To the nearest dark voxel it is half a step further than to the surface.
    inside = depth[bright.squeeze()] - grid.step_um / 2
    return OBLONG * (len(axes) + 2) * float((inside**2).mean() / inside.mean())


def _smooth(grid: _Means) -> NDArray[np.float32]:
    sigma = [grid.step_um / s if n > 1 else 0.0 for s, n in zip(grid.spacing_um, grid.values.shape, strict=True)]
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(grid.values, sigma, mode="nearest")
    return smooth


def _fullest(bright: NDArray[np.bool_], box: Box) -> Box:
    """Half of a box along each axis, where most is bright; `bright` is a grid over it."""
    share = ndimage.uniform_filter(bright.astype(np.float32), size=[-(-n // 2) for n in bright.shape], mode="constant")
    centre = np.unravel_index(int(share.argmax()), share.shape)
    sides = triple(-(-n // 2) for n in box.shape)
    start = triple(
        min(max(0, round((c + 0.5) / n * whole - side / 2)), whole - side)
        for c, n, whole, side in zip(centre, bright.shape, box.shape, sides, strict=True)
    )
    return Box((0, 0, 0), sides).shift(start).shift(box.start)


def _times(spacing_um: Spacing, by: Shape) -> Spacing:
    return triple(s * f for s, f in zip(spacing_um, by, strict=True))
