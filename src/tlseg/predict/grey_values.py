"""Which grey value has this share of voxels no brighter than it, and which share of voxels has this grey value?

Answers are exact and do not depend on how the image was cut, since voxels are counted in integers. The upper half of a
value's bits is counted first; only float32 has a lower half, which is counted in another pass, among the voxels that share
the upper half of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import MovieError

BINS = 65536

Parts = Callable[[], Iterable[NDArray[Any]]]
"""Yields the voxels in parts (z, y, x), the same ones whenever it is called."""


class GreyValues:
    """The grey values of an image, counted.

    Parameters
    ----------
    parts
        Finite grey values of `dtype`. Called once; for float32 once more for each question with a new answer.
    dtype
        uint8, uint16, int16 or float32, in any byte order.

    Raises
    ------
    MovieError
        For other dtypes, and if there are no voxels.
    """

    def __init__(self, parts: Parts, *, dtype: str) -> None:
        kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
        if (kind, size) not in {("u", 1), ("u", 2), ("i", 1), ("i", 2), ("f", 4)}:
            raise MovieError(
                f"Images of dtype {np.dtype(dtype)} cannot be normalised; use uint8, uint16, int16 or float32."
            )
        self._parts, self._floats = parts, kind == "f"
        self._lowest = -BINS // 2 if kind == "i" else 0
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._finer: dict[int, NDArray[np.int64]] = {}
        for plane in self._planes():
            self._counts += _count(self._bins(plane))
        self.voxels = int(self._counts.sum())
        """Number of voxels."""
        if self.voxels == 0:
            raise MovieError("An image without voxels has no grey values.")

    def at(self, *shares: float) -> list[float]:
        """Least grey values with at least these shares of voxels no brighter, 0 being the darkest and 1 the brightest."""
        cumulative = np.cumsum(self._counts)
        ranks = [max(1.0, share * self.voxels) for share in shares]
        bins = [int(np.searchsorted(cumulative, rank)) for rank in ranks]
        if not self._floats:
            return [float(bin_ + self._lowest) for bin_ in bins]
        self._count_finer(bins)
        within = [rank - int(cumulative[b] - self._counts[b]) for b, rank in zip(bins, ranks, strict=True)]
        lower = [int(np.searchsorted(np.cumsum(self._finer[b]), rank)) for b, rank in zip(bins, within, strict=True)]
        return [_float((upper << 16) | low) for upper, low in zip(bins, lower, strict=True)]

    def share(self, value: float) -> float:
        """Share of voxels that have exactly this grey value, which must be one of the image's."""
        if not self._floats:
            return int(self._counts[int(value) - self._lowest]) / self.voxels
        key = int(_keys(np.array([value]))[0])
        self._count_finer([key >> 16])
        return int(self._finer[key >> 16][key & 0xFFFF]) / self.voxels

    def _count_finer(self, bins: Iterable[int]) -> None:
        """Count the lower half of the bits in bins where they have not been counted yet."""
        new = {bin_: np.zeros(BINS, dtype=np.int64) for bin_ in bins if bin_ not in self._finer}
        for plane in self._planes() if new else ():
            keys = _keys(plane)
            for bin_, counts in new.items():
                counts += _count(keys[keys >> 16 == bin_] & 0xFFFF)
        self._finer |= new

    def _bins(self, plane: NDArray[Any]) -> NDArray[Any]:
        if self._floats:
            return _keys(plane) >> 16
        return plane.astype(np.int32) - self._lowest if self._lowest else plane

    def _planes(self) -> Iterator[NDArray[Any]]:
        """Counting takes 8 bytes and more a voxel, so it is done by the plane."""
        return chain.from_iterable(self._parts())


def _count(bins: NDArray[Any]) -> NDArray[np.int64]:
    return np.bincount(bins.ravel(), minlength=BINS).astype(np.int64)


def _keys(values: NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers in the order of float32 values: of negative ones all bits are turned, of others the sign."""
    bits = (np.ascontiguousarray(values, dtype=np.float32) + np.float32(0)).view(np.uint32)  # -0 is 0
    return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(0x80000000)).astype(np.int64)


def _float(key: int) -> float:
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])
