"""Which voxels are near each other?

Squared distances are whole square nanometres, so no rounding decides, and every block that asks gets the same answer. A k-d
tree proposes pairs, with a margin for its own rounding; integers decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tlseg.geometry import Spacing, spacing_nm, whole_nm

_MARGIN_NM = 1
"""Far more than a tree's rounding error: coordinates are whole numbers below 2^53, which it stores exactly."""


@dataclass(frozen=True, slots=True)
class Places:
    """Voxels whose neighbours can be queried.

    Parameters
    ----------
    nm
        Positions (n, 3) in whole nanometres.
    tree
        The same, to be searched.
    """

    nm: NDArray[np.int64]
    tree: cKDTree

    @classmethod
    def of(cls, position: NDArray[np.int64], spacing_um: Spacing) -> Places:
        """Places of voxels (n, 3), whose spacing counts in whole nanometres."""
        nm = position * np.array(spacing_nm(spacing_um), dtype=np.int64)
        return cls(nm, cKDTree(nm))

    def within(self, distance_um: float, *, of: int) -> NDArray[np.int64]:
        """Numbers of the places at most this far from one of them, which is among them."""
        reach = whole_nm(distance_um)
        near = np.array(self.tree.query_ball_point(self.nm[of], reach + _MARGIN_NM), dtype=np.int64)
        result: NDArray[np.int64] = near[_squared(self.nm[near] - self.nm[of]) <= reach * reach]
        return result

    def pairs_within(self, distance_um: float) -> NDArray[np.int64]:
        """Numbers (k, 2) of places at most this far apart, the smaller first, in no order."""
        reach = whole_nm(distance_um)
        near = self.tree.query_pairs(reach + _MARGIN_NM, output_type="ndarray").astype(np.int64)
        near.sort(axis=1)
        result: NDArray[np.int64] = near[_squared(self.nm[near[:, 0]] - self.nm[near[:, 1]]) <= reach * reach]
        return result


def _squared(way: NDArray[np.int64]) -> NDArray[np.int64]:
    squared: NDArray[np.int64] = (way * way).sum(axis=1)
    return squared
