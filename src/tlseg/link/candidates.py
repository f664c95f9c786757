"""List the nuclei that could be the same in two frames, with the cost of each link.

Costs are sums of squared differences in units of what is usual, so that a cost below 1 is better than no link at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from tlseg.link.objects import Floats, Ints, Objects, Overlaps
from tlseg.link.settings import LinkSettings
from tlseg.link.stabilise import Stabilised

# Squared log ratios count up to a ratio of e^2, so that one bad measurement alone does not forbid a link.
_RATIO_LIMIT = 4.0
# Bounds of the automatic reach in median radii, and its multiple of the median motion.
_LEAST_RADII, _MOST_RADII, _MOTIONS = 1.5, 4.0, 3.0


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs of nuclei, `a` before `b`, sorted by (a, b), each once.

    Parameters
    ----------
    a, b
        Rows in `Objects`, shape (m,).
    cost
        What the link would cost, shape (m,).
    """

    a: Ints
    b: Ints
    cost: Floats

    def __len__(self) -> int:
        return len(self.a)


def frame_trees(objects: Objects, placed: Stabilised) -> list[cKDTree | None]:
    """One tree of stabilised positions per frame; None if the frame is empty."""
    slices = [objects.rows(frame) for frame in range(objects.frames)]
    return [cKDTree(placed.position_um[rows]) if rows.stop > rows.start else None for rows in slices]


def reach_um(objects: Objects, placed: Stabilised, trees: list[cKDTree | None], *, settings: LinkSettings) -> float:
    """How far a nucleus may move between two frames, in micrometres.

    Three times the median distance to the nearest nucleus of the next frame, at least 1.5 and at most 4 median radii,
    unless the settings say otherwise.
    """
    if settings.max_distance_um is not None:
        return settings.max_distance_um
    nearest = [np.empty(0)]
    for frame, tree in enumerate(trees[1:]):
        here = placed.later(placed.position_um[objects.rows(frame)], frame, frame + 1)
        if tree is not None and len(here):
            nearest.append(np.asarray(tree.query(here)[0]))
    motions = np.concatenate(nearest)
    radius = float(np.median(objects.radius_um)) if len(objects) else 1.0
    motion = float(np.median(motions)) if len(motions) else 0.0
    return float(np.clip(_MOTIONS * motion, _LEAST_RADII * radius, _MOST_RADII * radius))


def link_candidates(
    objects: Objects,
    placed: Stabilised,
    trees: list[cKDTree | None],
    overlaps: Overlaps,
    *,
    reach: float,
    settings: LinkSettings,
) -> Pairs:
    """Pairs of nuclei in consecutive frames that are near after registration, or share voxels.

    Voxels shared by chance while the embryo turned say nothing: an overlap counts only where the motion of the embryo moved
    the nucleus by no more than its radius.
    """
    near_a, near_b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for frame, tree in enumerate(trees[1:]):
        rows = objects.rows(frame)
        if tree is not None and rows.stop > rows.start:
            here = placed.later(placed.position_um[rows], frame, frame + 1)
            a, b = neighbours(tree, here, count=settings.neighbours, reach=reach)
            near_a.append(a + rows.start)
            near_b.append(b + int(objects.starts[frame + 1]))
    still = placed.moved_um[overlaps.a] <= objects.radius_um[overlaps.a]
    shared_a, shared_b = overlaps.a[still], overlaps.b[still]
    size = max(len(objects), 1)
    keys = np.unique(np.concatenate([*near_a, shared_a]) * size + np.concatenate([*near_b, shared_b]))
    a, b = keys // size, keys % size
    iou = np.zeros(len(keys))
    iou[np.searchsorted(keys, shared_a * size + shared_b)] = overlaps.iou[still]
    cost = link_cost(objects, placed, a, b, reach=reach, settings=settings) - settings.overlap_weight * iou
    return Pairs(a, b, cost)


def link_cost(
    objects: Objects, placed: Stabilised, a: Ints, b: Ints, *, reach: float, settings: LinkSettings
) -> Floats:
    """Cost of taking rows `a` and `b` for one nucleus, by distance, volume and intensity; shape (m,).

    `(distance / reach)^2 + volume_weight * ln(Vb / Va)^2 + intensity_weight * ln(Ib / Ia)^2`, the squared logarithms
    at most 4.
    """
    gap = path_um(objects, placed, a, b)
    squared = np.einsum("ij,ij->i", gap, gap) / (reach * reach)
    volume = log_ratio_squared(objects.volume_um3[a], objects.volume_um3[b])
    intensity = log_ratio_squared(objects.intensity[a], objects.intensity[b])
    return np.asarray(squared + settings.volume_weight * volume + settings.intensity_weight * intensity)


def path_um(objects: Objects, placed: Stabilised, a: Ints, b: Ints) -> Floats:
    """From where rows `a` should lie in the frames of rows `b`, which are later, to where those lie; shape (m, 3)."""
    since, until = objects.t[a] - objects.first, objects.t[b] - objects.first
    return np.asarray(placed.position_um[b] - placed.later(placed.position_um[a], since, until))


def log_ratio(a: Floats, b: Floats) -> Floats:
    """`ln(b / a)`; 0 if either is not positive, because then there is no ratio."""
    known = (a > 0) & (b > 0)
    return np.asarray(np.log(np.divide(b, a, out=np.ones_like(a, dtype=np.float64), where=known)))


def log_ratio_squared(a: Floats, b: Floats) -> Floats:
    """`ln(b / a)^2`, at most 4; 0 if there is no ratio."""
    return np.asarray(np.minimum(log_ratio(a, b) ** 2, _RATIO_LIMIT))


def neighbours(tree: cKDTree, points: Floats, *, count: int, reach: float) -> tuple[Ints, Ints]:
    """Pairs (row of `points`, row of the tree) of the `count` nearest within `reach` of each point."""
    found = min(count, tree.n)
    distance, index = tree.query(points, k=np.arange(1, found + 1), distance_upper_bound=reach)
    row, rank = np.nonzero(np.isfinite(distance))
    return row.astype(np.int64), np.asarray(index)[row, rank].astype(np.int64)


def pairs_across(
    objects: Objects, placed: Stabilised, ends: Ints, starts: Ints, *, missing: int, count: int, reach: float
) -> tuple[Ints, Ints]:
    """Pairs of an end and one of the `count` nearest starts within `reach`, with so many frames missing in between.

    `ends` and `starts` are rows, ascending.
    """
    of_end, of_start = (np.searchsorted(rows, objects.starts) for rows in (ends, starts))
    found_a, found_b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for frame in range(objects.frames - 1 - missing):
        after = frame + 1 + missing
        here, there = ends[of_end[frame] : of_end[frame + 1]], starts[of_start[after] : of_start[after + 1]]
        if len(here) and len(there):
            tree = cKDTree(placed.position_um[there])
            a, b = neighbours(tree, placed.later(placed.position_um[here], frame, after), count=count, reach=reach)
            found_a.append(here[a])
            found_b.append(there[b])
    return np.concatenate(found_a), np.concatenate(found_b)
