"""How well do the nuclei of one frame lie on those of another, and which motion lays them best?

A frame is a cloud of points: places, and volumes as a fourth coordinate, so that nuclei of like volume match first. Matching
and fitting in turn is the iterative closest point algorithm (Besl & McKay 1992), judged by its better matches, because some
nuclei have no partner (as in the trimmed one of Chetverikov et al. 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from tlseg.link.motions import Growth, Rigid, kabsch
from tlseg.link.objects import Floats, Ints

# A doubled volume counts as this share of the cap; four times the volume as twice of it.
_DOUBLING = 0.35
# Share of the nuclei that must fit: others divide or are missed.
_TRIMMED = 0.75
# Up to this many pairs matching is an exact assignment, above it mutual nearest neighbours of at most _SAMPLE nuclei.
_EXACT_PAIRS, _SAMPLE = 10_000, 400
# Steps of matching and fitting.
_STEPS = 12


@dataclass(frozen=True, slots=True)
class Cloud:
    """Nuclei of one frame: (z, y, x, scaled log volume), shape (n, 4), with a tree over them and a sample of rows."""

    points: Floats
    tree: cKDTree
    sample: Ints

    def resized(self, growth: Growth) -> Cloud:
        """The same nuclei after the embryo swelled or shrank; their own volumes stay."""
        points = np.column_stack([growth.apply(self.points[:, :3]), self.points[:, 3]])
        return Cloud(points, cKDTree(points), self.sample)


@dataclass(frozen=True, slots=True)
class Fit:
    """A motion, its mean squared residual over the cap squared, and the same of the better three quarters (`trimmed`)."""

    motion: Rigid
    score: float
    trimmed: float


@dataclass(frozen=True, slots=True)
class Matches:
    """Rows of two clouds that belong together, and how well (see `Fit`)."""

    a: Ints
    b: Ints
    score: float
    trimmed: float


def refine(a: Cloud, b: Cloud, motion: Rigid, *, cap: float, planar: bool, steps: int = _STEPS) -> Fit:
    """Match and fit in turn until the matches repeat; the first match reaches further than the cap."""
    turning = min(len(a.points), len(b.points)) >= 4
    before: Matches | None = None
    for step in range(steps):
        found = match(a, b, motion, cap if step else 3 * cap)
        if before is not None and np.array_equal(found.a, before.a) and np.array_equal(found.b, before.b) and step > 1:
            return Fit(motion, found.score, found.trimmed)
        if not len(found.a):
            break
        before = found
        from_a, to_b = a.points[found.a, :3], b.points[found.b, :3]
        if turning and len(found.a) >= 4:
            motion = kabsch(from_a, to_b, planar=planar)
        else:
            motion = Rigid(motion.rotation, (to_b - from_a @ motion.rotation.T).mean(axis=0))
    final = match(a, b, motion, cap)
    return Fit(motion, final.score, final.trimmed)


def match(a: Cloud, b: Cloud, motion: Rigid, cap: float) -> Matches:
    """Pair the nuclei of two frames under a motion: exactly where they are few, else as mutual nearest neighbours."""
    if len(a.points) * len(b.points) <= _EXACT_PAIRS:
        squared = cdist(_moved(motion, a.points), b.points, "sqeuclidean")
        one, two = linear_sum_assignment(np.minimum(squared, cap * cap))
        rows_a, rows_b = one.astype(np.int64), two.astype(np.int64)
        residual, expected = squared[rows_a, rows_b], min(len(a.points), len(b.points))
    else:
        distance, nearest = (
            np.asarray(part) for part in b.tree.query(_moved(motion, a.points[a.sample]), distance_upper_bound=cap)
        )
        found = np.isfinite(distance)
        rows_a, rows_b, distance = a.sample[found], nearest[found].astype(np.int64), distance[found]
        _, back = a.tree.query(_moved(motion.inverse(), b.points[rows_b]), distance_upper_bound=cap)
        mutual = back == rows_a
        rows_a, rows_b, residual = rows_a[mutual], rows_b[mutual], distance[mutual] ** 2
        expected = max(1, round(len(a.sample) * min(1.0, len(b.points) / len(a.points))))
    near = residual < cap * cap
    shares = np.ones(expected)
    inside = np.sort(residual[near])[:expected] / (cap * cap)
    shares[: len(inside)] = inside
    better = shares[: max(1, math.ceil(_TRIMMED * expected))]
    return Matches(rows_a[near], rows_b[near], float(shares.mean()), float(better.mean()))


def _moved(motion: Rigid, points: Floats) -> Floats:
    return np.column_stack([motion.apply(points[:, :3]), points[:, 3]])


def cloud_of(position: Floats, volume: Floats, cap: float) -> Cloud:
    """Cloud of places (n, 3) and volumes (n,), where nuclei further apart than `cap` never match."""
    points = np.column_stack([position, np.log(volume) * (_DOUBLING * cap / np.log(2))])
    count = min(len(points), _SAMPLE)
    sample = np.arange(count, dtype=np.int64) * len(points) // max(count, 1)
    return Cloud(points, cKDTree(points), sample)
