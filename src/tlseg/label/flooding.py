"""Flood in the order of unique ranks: a priority flood without a heap.

The result is that of Meyer's watershed (1994; `skimage.segmentation.watershed` with the ranks as image): the voxel of least
rank is taken from a queue again and again, and those of its neighbours that have no label get its label and join the queue.

Every voxel has its own rank from 1 to n, so the queue is a set of ranks. It is kept as a tree of bits, 64 to a word: adding
a rank sets a bit on each level that was empty, and the least rank is found by following the lowest set bits down. For 2^30
voxels that is five words, where a binary heap compares and swaps thirty entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# The upper six bits of this number times 2^k differ for all k from 0 to 63, and so tell which bit of a word is the only one
# that is set (Leiserson, Prokop & Randall 1998).
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_POSITION = np.argsort(_DE_BRUIJN << np.arange(64, dtype=np.uint64) >> np.uint64(58))


def flood_by_rank(order: NDArray[np.int32], labels: NDArray[np.int32]) -> None:
    """Spread labels over all voxels they reach, in place.

    Parameters
    ----------
    order
        C-contiguous (z, y, x); ranks 1 to n, each once, where the flood may go; 0 elsewhere.
    labels
        C-contiguous, of the same shape; not 0 where the flood starts. Starts where it may not go are ignored.
    """
    n = int(np.count_nonzero(order))
    if not n:
        return
    sizes = [-(-n // 64)]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 64))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    bits = np.zeros(int(offsets[-1]), dtype=np.uint64)
    _flood(order.ravel(), labels.ravel(), np.array(order.shape, dtype=np.int64), n, bits, offsets, _POSITION)


def _compiled(function: Any) -> Any:
    """Compile a function once for all processes, or for this one if no folder can be written that would keep the result."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def _flood(order: Any, labels: Any, shape: Any, n: int, bits: Any, offsets: Any, position: Any) -> None:
    levels = len(offsets) - 1
    voxel_of = np.empty(n, dtype=np.int64)
    for voxel in range(order.size):
        rank = order[voxel]
        if rank > 0:
            voxel_of[rank - 1] = voxel
            if labels[voxel] != 0:
                _add(bits, offsets, levels, rank - 1)
    ny, nx = shape[1], shape[2]
    plane = ny * nx
    while bits[offsets[levels - 1]] != 0:
        voxel = voxel_of[_take_lowest(bits, offsets, levels, position)]
        label = labels[voxel]
        z = voxel // plane
        inside = voxel - z * plane
        y = inside // nx
        x = inside - y * nx
        for side in range(6):
            if side == 0:
                free, neighbour = z > 0, voxel - plane
            elif side == 1:
                free, neighbour = z + 1 < shape[0], voxel + plane
            elif side == 2:
                free, neighbour = y > 0, voxel - nx
            elif side == 3:
                free, neighbour = y + 1 < ny, voxel + nx
            elif side == 4:
                free, neighbour = x > 0, voxel - 1
            else:
                free, neighbour = x + 1 < nx, voxel + 1
            if free and order[neighbour] > 0 and labels[neighbour] == 0:
                labels[neighbour] = label
                _add(bits, offsets, levels, order[neighbour] - 1)


@njit(nogil=True, inline="always")
def _add(bits: Any, offsets: Any, levels: int, rank: int) -> None:
    """Set the bit of a rank, and those above it that were not set."""
    at = np.int64(rank)
    for level in range(levels):
        word = offsets[level] + (at >> 6)
        before = bits[word]
        bits[word] = before | (np.uint64(1) << np.uint64(at & 63))
        if before != 0:
            return
        at >>= 6


@njit(nogil=True, inline="always")
def _take_lowest(bits: Any, offsets: Any, levels: int, position: Any) -> Any:
    """Lowest rank in the set, which it leaves."""
    at = np.int64(0)
    for level in range(levels - 1, -1, -1):
        word = bits[offsets[level] + at]
        lowest = word & (~word + np.uint64(1))
        at = (at << 6) | position[(lowest * _DE_BRUIJN) >> np.uint64(58)]
    rank = at
    for level in range(levels):
        word = offsets[level] + (at >> 6)
        bits[word] &= ~(np.uint64(1) << np.uint64(at & 63))
        if bits[word] != 0:
            break
        at >>= 6
    return rank
