"""Say which object of the result is which object of the truth.

A matching is one-to-one. It has as many pairs as possible, and among those the largest total IoU.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import KDTree

from tlseg.assignment import cheapest_pairs
from tlseg.evaluate.overlap import Floats, Ints, Overlap
from tlseg.geometry import Spacing


def count_matches(overlap: Overlap, threshold: float) -> int:
    """Return the size of the largest one-to-one matching of pairs with IoU >= `threshold` (and above 0)."""
    chosen = overlap.iou >= threshold
    if threshold > 0.5:  # then no object can be in two pairs
        return int(chosen.sum())
    return _largest(overlap.i[chosen], overlap.j[chosen], (len(overlap.truth), len(overlap.result)))


def match_objects(overlap: Overlap, threshold: float) -> tuple[Ints, Ints]:
    """Match objects one-to-one.

    Parameters
    ----------
    overlap : Overlap
    threshold : float
        Smallest IoU of a pair, 0 to 1; a pair shares at least one voxel.

    Returns
    -------
    i, j : (k,) int64
        Rows in `overlap.truth` and `overlap.result`, ascending in i.
    """
    iou = overlap.iou
    chosen = np.flatnonzero(iou >= threshold)
    i, j, iou = overlap.i[chosen], overlap.j[chosen], iou[chosen]
    alone = (np.bincount(i, minlength=1)[i] == 1) & (np.bincount(j, minlength=1)[j] == 1)
    kept = [np.flatnonzero(alone)]
    rest = np.flatnonzero(~alone)
    if len(rest):
        # One more pair outweighs any gain in IoU: no matching has a total IoU above the number of its pairs.
        worth = iou[rest] + len(rest)
        kept.append(rest[cheapest_pairs(i[rest], j[rest], -worth, alone=0.0)])
    rows = np.sort(np.concatenate(kept))
    return i[rows], j[rows]


def count_detections(overlap: Overlap, tolerance_um: float, spacing_um: Spacing) -> int:
    """Return the size of the largest one-to-one matching of centroids at most `tolerance_um` micrometres apart."""
    scale = np.asarray(spacing_um)
    return count_near(overlap.truth.centroids * scale, overlap.result.centroids * scale, tolerance_um)


def count_near(truth_um: Floats, result_um: Floats, tolerance_um: float) -> int:
    """Return the size of the largest one-to-one matching of points (n, 3), (m, 3) at most `tolerance_um` apart."""
    if not len(truth_um) or not len(result_um):
        return 0
    near = KDTree(truth_um).query_ball_tree(KDTree(result_um), tolerance_um)
    i = np.repeat(np.arange(len(near)), [len(row) for row in near])
    j = np.concatenate([np.asarray(row, dtype=np.int64) for row in near])
    return _largest(i, j, (len(truth_um), len(result_um)))


def _largest(i: npt.NDArray[np.integer], j: npt.NDArray[np.integer], shape: tuple[int, int]) -> int:
    if not len(i):
        return 0
    graph = csr_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=shape)
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
