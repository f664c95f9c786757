"""Do two centres belong to one nucleus?

The centre map of a large nucleus may have several maxima, and of small nuclei that touch it has one each: what tells them
apart is whether the map dips in between. The dip is looked for on the straight line between two maxima, by the one block
that owns the middle of it, so half the length of a line is all a block needs to see around it. (The usual measure of a
maximum, its dynamics (Grimaud 1992), is about the best of all paths to a higher one, for which no halo suffices.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box, Shape, Spacing, spacing_nm, triple, whole_nm
from tlseg.label.near import Places

_PARTS = 1000
"""The share is compared in whole thousandths."""


@dataclass(frozen=True, slots=True)
class SaddleRule:
    """When two maxima are one nucleus: at most `reach_um` apart, and nowhere between them below `share` of the lower."""

    share: float
    reach_um: float

    def halo(self, spacing_um: Spacing) -> Shape:
        """Voxels around a block within which maxima lie whose middle it owns."""
        return triple(-(-whole_nm(self.reach_um) // (2 * nm)) + 1 for nm in spacing_nm(spacing_um))


def join_over_saddles(
    position: NDArray[np.int64],
    height: NDArray[np.int64],
    sums: NDArray[np.int32],
    *,
    crop: Box,
    core: Box,
    spacing_um: Spacing,
    rule: SaddleRule,
) -> NDArray[np.int64]:
    """Pairs of maxima that are one nucleus and whose middle lies in the core.

    Parameters
    ----------
    position, height
        Maxima of the core and `rule.halo` around it: global voxels (n, 3) in C order, and their smoothed sums (n,).
    sums
        Smoothed sums (z, y, x) of `crop`.
    crop, core
        What was read and what the block owns, in voxels of the frame.

    Returns
    -------
    ndarray of int64 (k, 2, 3)
        Positions of both, the first in C order first.
    """
    first, last = Places.of(position, spacing_um).pairs_within(rule.reach_um).T
    middle = (position[first] + position[last]) // 2
    own = ((middle >= core.start) & (middle < core.stop)).all(axis=1)
    first, last = first[own], last[own]
    least = _lowest_between(sums, position[first] - np.array(crop.start), position[last] - np.array(crop.start))
    lower = np.minimum(height[first], height[last])
    one = least * _PARTS >= lower * round(rule.share * _PARTS)
    pairs: NDArray[np.int64] = np.stack([position[first[one]], position[last[one]]], axis=1)
    return pairs


def _lowest_between(sums: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lowest sum on the lines from start to stop (k, 3), two steps for each voxel of the longest axis, in integers."""
    way = stop - start
    steps = 2 * np.abs(way).max(axis=1)
    step = np.minimum(np.arange(int(steps.max(initial=0)) + 1)[None], steps[:, None])
    on = start[:, None] + (2 * step[..., None] * way[:, None] + steps[:, None, None]) // (2 * steps[:, None, None])
    least: NDArray[np.int64] = sums[on[..., 0], on[..., 1], on[..., 2]].min(axis=1).astype(np.int64)
    return least
