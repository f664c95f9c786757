"""Which values are labels, however they are stored? Whole numbers from 0, which is background.

Programs save labels as floats too: whole-number floats are accepted wherever labels are read, probabilities nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import LabelError, TlsegError

_MOST_FLOAT = 2.0**53
"""Above this, not every whole number is a float."""


def as_labels(values: NDArray[np.generic], *, where: str) -> NDArray[np.integer[Any]]:
    """Labels as whole numbers of their own type: booleans as 1 and 0, floats as uint64.

    Raises
    ------
    LabelError
        If a value is not a whole number from 0; `where` names the labels.
    """
    kind = values.dtype.kind
    if kind == "b":
        return values.view(np.uint8)
    if kind not in "uif":
        raise LabelError(f"{where} has values of type {values.dtype}. Labels are whole numbers; give label images.")
    numbers: NDArray[Any] = values
    if kind != "u" and numbers.size and not numbers.min() >= 0:
        raise LabelError(
            f"{where} has values from {numbers.min():g} to {numbers.max():g}. Labels are whole numbers, 0 for background; "
            "write everything that is not a nucleus as 0."
        )
    if kind != "f":
        return numbers
    if not np.array_equal(numbers, np.round(numbers)) or (numbers.size and float(numbers.max()) >= _MOST_FLOAT):
        raise LabelError(
            f"{where} has values that are not whole ({numbers.dtype}, up to {numbers.max():g}), so it is not a label image. "
            "Give labels, not probabilities or intensities."
        )
    return numbers.astype(np.uint64)


def as_uint32(values: NDArray[np.generic], *, where: str) -> NDArray[np.uint32]:
    """Labels as uint32.

    Raises
    ------
    LabelError
        If they are not labels, or exceed 32 bits.
    """
    labels = as_labels(values, where=where)
    if labels.size and int(labels.max()) > np.iinfo(np.uint32).max:
        raise LabelError(f"{where} has values up to {labels.max()}. Labels go up to 4294967295; renumber them.")
    return labels.astype(np.uint32, copy=False)


def renumber(
    labels: NDArray[np.generic],
    *,
    old: NDArray[np.integer[Any]],
    new: NDArray[np.integer[Any]],
    unknown: Callable[[int], TlsegError],
) -> NDArray[np.integer[Any]]:
    """Labels under other numbers; 0 stays.

    Parameters
    ----------
    labels
        Any shape.
    old, new : (n,)
        Numbers, ascending, and what each becomes.
    unknown
        Makes the error for a label that is not in `old`.

    Returns
    -------
    Array of the shape of `labels` and the type of `new`.
    """
    out = np.zeros(labels.shape, dtype=new.dtype)
    inside = labels != 0
    values = labels[inside].astype(np.int64)
    at = np.searchsorted(old, values)
    missing = old[np.minimum(at, len(old) - 1)] != values if len(old) else np.ones(len(values), dtype=bool)
    if missing.any():
        raise unknown(int(values[missing][0]))
    out[inside] = new[at]
    return out
