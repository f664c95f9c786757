"""Sums of grey values that are the same in whatever order and parts they are added.

Integers are added as they are. A float32 is a whole number of 24 bits times a power of two, so it is added as a whole
number too, to the one of several sums that is near its power; nothing is rounded before all of them become one. A float64
has 53 bits and is added as three float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 24
_LEAST = -172
"""Power of two of the last bit of the least float32, as `exact_sums` writes it."""
_STEP = 8
"""Powers of two that share a sum; 2**30 voxels fit into one."""
_SUMS = (128 - _BITS - _LEAST) // _STEP + 1


def most_grey(dtype: np.dtype[Any]) -> float:
    """Largest grey value of a data type, by its size, that `exact_sums` takes."""
    return float(np.finfo(np.float32).max if dtype.kind == "f" else np.iinfo(np.uint32).max)


def exact_sums(row: NDArray[np.intp], values: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Sums of finite grey values by row.

    Parameters
    ----------
    row, values
        The row (m,) of each value (m,), an integer of up to 32 bits or a float within the range of float32. Of a float64
        below 2**-97 (6e-30), bits below 2**-149 do not count.
    n
        Number of rows.

    Returns
    -------
    (n, 1) of integers, (n, 35) of floats; those of several parts are added element by element, and `as_floats` reads them.
    """
    if values.dtype.kind != "f":
        total = np.zeros((n, 1), dtype=np.int64)
        np.add.at(total[:, 0], row, values.astype(np.int64))
        return total
    total = np.zeros((n, _SUMS), dtype=np.int64)
    rest = values.astype(np.float64)
    for _ in range(3 if values.dtype.itemsize > 4 else 1):
        part = rest.astype(np.float32).astype(np.float64)
        fraction, exponent = np.frexp(part)
        power = exponent.astype(np.int64) - (_BITS + _LEAST)
        whole = (fraction * 2**_BITS).astype(np.int64)
        np.add.at(total, (row, power // _STEP), whole << power % _STEP)
        rest -= part
    return total


def as_floats(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """The nearest double to each sum, shape (n,)."""
    if sums.shape[1] == 1:
        return sums[:, 0].astype(np.float64)
    totals = (sum(int(part) << _STEP * i for i, part in enumerate(row) if part) for row in sums)
    return np.array([math.ldexp(float(total), _LEAST) for total in totals], dtype=np.float64)
