"""Sum the grey values of several channels over the voxels of each label, block by block.

Sums are integers (see `tlseg.measure.exact`), so a nucleus may be cut into any number of blocks, added in any order. A
nucleus with a NaN or infinite voxel has no sum, rather than the sum of its other voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Grid, slab, triple
from tlseg.measure.exact import as_floats, exact_sums

AT_ONCE = 2**19
"""Most voxels of a block summed at once; each takes about 100 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class GreySums:
    """Sums over the voxels of each label, as int64 arrays.

    Attributes
    ----------
    label, voxels : (n,)
        Labels in ascending order, and the number of voxels of each.
    grey : (channels, n, k)
        `exact_sums` of grey values, without NaN and infinite ones.
    unknown : (channels, n)
        How many values are NaN or infinite.
    """

    label: NDArray[np.int64]
    voxels: NDArray[np.int64]
    grey: NDArray[np.int64]
    unknown: NDArray[np.int64]


def sum_grey(labels: NDArray[np.uint32], channels: Iterable[NDArray[Any]]) -> GreySums | None:
    """Sum a block, one slab at a time; return None if it has no labels.

    Parameters
    ----------
    labels
        Labels (z, y, x).
    channels
        Grey values (z, y, x) of each channel, all of one data type that `exact_sums` accepts. Read one by one, so only one
        channel is in memory at a time, and not at all if there are no labels.
    """
    shape = triple(labels.shape)
    slabs = [cut.slices for cut in Grid(shape, slab(shape, unit=(1, 1, 1), most=AT_ONCE))]
    label = np.unique(np.concatenate([np.unique(labels[at]) for at in slabs]))
    label = label[label > 0]
    if not len(label):
        return None
    n = len(label)
    voxels = np.zeros(n, dtype=np.int64)
    for at in slabs:
        voxels += np.bincount(np.searchsorted(label, labels[at][labels[at] > 0]), minlength=n)
    grey, unknown = [], []
    for image in channels:
        parts, none = [], np.zeros(n, dtype=np.int64)
        for at in slabs:
            inside = labels[at] > 0
            row, values = np.searchsorted(label, labels[at][inside]), image[at][inside]
            known = np.isfinite(values)
            parts.append(exact_sums(row[known], values[known], n))
            none += np.bincount(row[~known], minlength=n)
        grey.append(np.sum(parts, axis=0, dtype=np.int64))
        unknown.append(none)
    return GreySums(label.astype(np.int64), voxels, np.stack(grey), np.stack(unknown))


def add_grey(parts: Sequence[GreySums]) -> GreySums:
    """Add the sums of the blocks of a frame, of which there is at least one."""
    every = np.concatenate([part.label for part in parts])
    label, row = np.unique(every, return_inverse=True)
    voxels = np.zeros(len(label), dtype=np.int64)
    channels, _, width = parts[0].grey.shape
    grey = np.zeros((len(label), channels, width), dtype=np.int64)
    unknown = np.zeros((len(label), channels), dtype=np.int64)
    np.add.at(voxels, row, np.concatenate([part.voxels for part in parts]))
    np.add.at(grey, row, np.concatenate([part.grey.swapaxes(0, 1) for part in parts]))
    np.add.at(unknown, row, np.concatenate([part.unknown.T for part in parts]))
    return GreySums(label, voxels, grey.swapaxes(0, 1), unknown.T)


def means_and_sums(sums: GreySums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and sum (channels, n) of each channel and label; NaN where a voxel is NaN or infinite."""
    total = np.stack([as_floats(channel) for channel in sums.grey])
    total[sums.unknown > 0] = np.nan
    return total / sums.voxels, total
