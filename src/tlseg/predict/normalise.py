"""What is dark and what is bright in this frame?

Normalisation statistics belong to the frame. They come from a histogram of every voxel, and histograms add up in
integers, so it does not matter how the frame was cut to count it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.config import Scaling
from tlseg.errors import MovieError

BINS = 65536

QUANTILES: Mapping[Scaling, tuple[float, float]] = {
    "quantiles": (0.5, 0.999),
    "asinh": (0.5, 0.999),
    "extremes": (0.0, 1.0),
}
"""Shares of a frame's voxels below the grey values that become 0 and 1."""

KNEE = 5.0
"""Inverse of the intensity at which the "asinh" scaling turns from linear to logarithmic."""


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """Grey values that become 0 (`low`) and 1 (`high`): a frame's median and 99.9th percentile, or its extremes.

    In between it is a straight line, but for "asinh": there intensities far above `high` grow as their logarithm (ten
    times `high` is 2), and dim ones, near `low`, are spread about twice as wide as on the line.
    """

    low: float
    high: float
    scaling: Scaling = "quantiles"

    def normalise(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return intensities scaled so that `low` is 0 and `high` is 1; nothing is clipped."""
        steepness = KNEE if self.scaling == "asinh" else 1.0
        scale = np.float32(steepness / (self.high - self.low))
        result: NDArray[np.float32] = (values.astype(np.float32) - np.float32(self.low)) * scale
        if self.scaling == "asinh":
            np.arcsinh(result, out=result)
            result /= np.float32(np.arcsinh(KNEE))
        return result


def histogram(values: NDArray[Any]) -> NDArray[np.int64]:
    """Count voxels in 65,536 ordered bins.

    Integers of up to 16 bits have a bin for each value. For float32 a bin holds the values that share their upper 16
    bits (sign, exponent and 7 bits of the mantissa): a relative width of at most 1/128, the same for every frame.

    Raises
    ------
    MovieError
        For NaN or infinite values, and for other dtypes.
    """
    keys = _keys(values)
    return np.bincount(keys.ravel(), minlength=BINS).astype(np.int64)


def statistics(
    counts: NDArray[np.int64],
    dtype: str,
    *,
    frame: int,
    scaling: Scaling = "quantiles",
    bright: NDArray[np.int64] | None = None,
) -> FrameStatistics:
    """Grey values that become 0 and 1, by default a frame's median and 99.9th percentile, from its summed histogram.

    `bright` is the histogram of the part of the frame that says how bright nuclei are; by default all of it.

    Raises
    ------
    MovieError
        When both are the same value: a constant or empty frame has no contrast to normalise by.
    """
    if not counts.any():
        raise MovieError(f"Frame {frame} has no voxels.")
    dark, top = QUANTILES[scaling]
    low, high = quantile(counts, dark, dtype), quantile(counts if bright is None else bright, top, dtype)
    # The high value is looked for upward, so that a frame in which few voxels are bright still has contrast.
    if not high > low:
        occupied = np.flatnonzero(counts)
        high = _value(int(occupied[-1]), dtype)
    if not high > low:
        raise MovieError(
            f"Frame {frame} is constant: every voxel is {low:g}. A frame needs contrast to be normalised; leave it out "
            "with --frames A:B, or check the export of the movie."
        )
    return FrameStatistics(low, high, scaling)


def quantile(counts: NDArray[np.int64], share: float, dtype: str) -> float:
    """Least grey value with at least this share of voxels no brighter."""
    cumulative = np.cumsum(counts)
    return _value(int(np.searchsorted(cumulative, max(1, share * int(cumulative[-1])))), dtype)


def _keys(values: NDArray[Any]) -> NDArray[Any]:
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "u" and size <= 2:
        return values
    if kind == "i" and size <= 2:
        return values.astype(np.int32) + BINS // 2
    if kind == "f" and size == 4:
        if not np.isfinite(values).all():
            raise MovieError("The image holds NaN or infinite values. Replace them before segmenting.")
        bits = np.ascontiguousarray(values).view(np.uint32)
        ordered = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(0x80000000))
        return (ordered >> 16).astype(np.int32)
    raise MovieError(f"Images of dtype {values.dtype} cannot be normalised; use uint8, uint16, int16 or float32.")


def _value(key: int, dtype: str) -> float:
    kind = np.dtype(dtype).kind
    if kind == "u":
        return float(key)
    if kind == "i":
        return float(key - BINS // 2)
    ordered = np.uint32(key) << np.uint32(16)
    bits = ordered & np.uint32(0x7FFFFFFF) if key >= BINS // 2 else ~ordered & np.uint32(0xFFFFFFFF)
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])
