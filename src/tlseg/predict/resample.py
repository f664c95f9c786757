"""How do voxels of one spacing become voxels of another?

Both grids start at the same corner of the frame: voxel `i` of spacing `s` covers `[i s, (i + 1) s)`. Every output voxel
is a weighted sum of input voxels whose weights come from global positions alone, taken in a fixed order with elementwise
arithmetic, so a voxel has the same bits in whatever crop it is computed.

Going finer, the weights are linear interpolation; going coarser, a triangle that reaches one coarser voxel to either side,
so that no voxel is skipped. Both are symmetric about the voxel's centre, so a surface stays where it is at one half of its
height, and volumes are kept by a threshold there.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box, Shape, Spacing, triple


@dataclass(frozen=True, slots=True)
class AxisTaps:
    """For each of `n` output voxels along one axis: which input voxels to sum (taps, n) with which weights (taps, n)."""

    index: NDArray[np.int64]
    weight: NDArray[np.float32]


def resampled_shape(shape: Shape, spacing: Spacing, to: Spacing) -> Shape:
    """Voxels of spacing `to` that cover a frame of `shape` voxels of `spacing`; one plane stays one, however thick."""
    z, y, x = (max(1, math.ceil(n * a / b - 1e-6)) for n, a, b in zip(shape, spacing, to, strict=True))
    return (z if shape[0] > 1 else 1, y, x)


def axis_taps(start: int, stop: int, *, size: int, spacing: float, to: float) -> AxisTaps:
    """Taps for output voxels `start..stop` of spacing `to` on an input axis of `size` voxels of `spacing`."""
    ratio = to / spacing
    reach = max(1.0, ratio)
    centre = (np.arange(start, stop, dtype=np.float64) + 0.5) * ratio - 0.5
    first = np.floor(centre - reach).astype(np.int64) + 1
    taps = math.ceil(2 * reach)
    index = first[None, :] + np.arange(taps, dtype=np.int64)[:, None]
    weight = np.clip(1.0 - np.abs(index - centre[None, :]) / reach, 0.0, None)
    weight /= functools.reduce(np.add, weight)  # in order: for a single voxel `sum` would add in another one
    return AxisTaps(np.clip(index, 0, size - 1), weight.astype(np.float32))


def source_box(box: Box, *, shape: Shape, spacing: Spacing, to: Spacing) -> Box:
    """Input voxels that the output voxels of `box` are made of, within a frame of `shape`."""
    ends = []
    for a, b, n, s, t in zip(box.start, box.stop, shape, spacing, to, strict=True):
        taps = axis_taps(a, b, size=n, spacing=s, to=t)
        ends.append((int(taps.index.min()), int(taps.index.max()) + 1))
    return Box(*map(triple, zip(*ends, strict=True)))


def resample(
    values: NDArray[np.float32], source: Box, box: Box, *, shape: Shape, spacing: Spacing, to: Spacing
) -> NDArray[np.float32]:
    """Resample a crop.

    Parameters
    ----------
    values
        Input voxels (z, y, x) of `source`, which must hold `source_box(box, ...)`.
    box
        Output voxels wanted, on the grid of spacing `to`.
    shape
        Whole input frame in voxels of `spacing`.

    Returns
    -------
    ndarray of float32 (z, y, x)
        Voxels of `box`.
    """
    result = values
    for axis in range(3):
        taps = axis_taps(box.start[axis], box.stop[axis], size=shape[axis], spacing=spacing[axis], to=to[axis])
        if spacing[axis] == to[axis]:
            result = np.take(result, taps.index[_whole(taps)] - source.start[axis], axis=axis)
            continue
        along = [1, 1, 1]
        along[axis] = -1
        parts = (
            np.take(result, index - source.start[axis], axis=axis) * weight.reshape(along)
            for index, weight in zip(taps.index, taps.weight, strict=True)
        )
        result = functools.reduce(np.add, parts)
    return result


def _whole(taps: AxisTaps) -> int:
    """Return the tap that carries the whole weight where both spacings agree."""
    return int(np.argmax(taps.weight[:, 0]))
