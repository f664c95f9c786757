"""Which grey value has this share of voxels no brighter than it?

The answer is exact: it is a value of the image, and it does not depend on how the image was cut, since voxels are counted
in integers. The upper half of a value's bits is counted first; only float32 has a lower half, which is counted in a second
pass, among the voxels that share the upper half of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import MovieError

BINS = 65536

Parts = Callable[[], Iterable[NDArray[Any]]]
"""Yields the voxels in parts (z, y, x), the same ones whenever it is called."""


def quantiles(parts: Parts, shares: Sequence[float], *, dtype: str) -> list[float]:
    """Least grey values with at least these shares of voxels no brighter.

    Parameters
    ----------
    parts
        Finite grey values of `dtype`, called once, or twice for float32.
    shares
        From 0 (the darkest voxel) to 1 (the brightest).
    dtype
        uint8, uint16, int16 or float32, in any byte order.

    Raises
    ------
    MovieError
        For other dtypes, and if there are no voxels.
    """
    kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
    if (kind, size) not in {("u", 1), ("u", 2), ("i", 1), ("i", 2), ("f", 4)}:
        raise MovieError(
            f"Images of dtype {np.dtype(dtype)} cannot be normalised; use uint8, uint16, int16 or float32."
        )
    if kind == "f":
        return _quantiles_of_floats(parts, shares)
    lowest = 0 if kind == "u" else -BINS // 2
    counts = np.zeros(BINS, dtype=np.int64)
    for plane in _planes(parts):
        counts += _count(plane.astype(np.int32) - lowest if lowest else plane)
    return [float(_rank(counts, share)[0] + lowest) for share in shares]


def _quantiles_of_floats(parts: Parts, shares: Sequence[float]) -> list[float]:
    counts = np.zeros(BINS, dtype=np.int64)
    for plane in _planes(parts):
        counts += _count(_keys(plane) >> 16)
    upper = [_rank(counts, share) for share in shares]
    finer = {bin_: np.zeros(BINS, dtype=np.int64) for bin_, _ in upper}
    for plane in _planes(parts):
        keys = _keys(plane)
        for bin_, inside in finer.items():
            inside += _count(keys[keys >> 16 == bin_] & 0xFFFF)
    found = [(bin_ << 16) | int(np.searchsorted(np.cumsum(finer[bin_]), rank)) for bin_, rank in upper]
    return [_float(key) for key in found]


def _planes(parts: Parts) -> Iterator[NDArray[Any]]:
    """Counting takes 8 bytes and more a voxel, so it is done by the plane."""
    return chain.from_iterable(parts())


def _count(bins: NDArray[Any]) -> NDArray[np.int64]:
    return np.bincount(bins.ravel(), minlength=BINS).astype(np.int64)


def _rank(counts: NDArray[np.int64], share: float) -> tuple[int, float]:
    """The bin of a quantile, and how many of the voxels in this bin are no brighter."""
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    if total == 0:
        raise MovieError("An image without voxels has no grey values.")
    rank = max(1.0, share * total)
    found = int(np.searchsorted(cumulative, rank))
    return found, rank - int(cumulative[found] - counts[found])


def _keys(values: NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers in the order of float32 values: of negative ones all bits are turned, of others the sign."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(0x80000000)).astype(np.int64)


def _float(key: int) -> float:
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])
