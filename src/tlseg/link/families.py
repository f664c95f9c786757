"""List the nuclei that could be mother and daughters, even if one of them was missed for a frame or two.

A nucleus without a past is one daughter. The other is what her mother was linked to, or a second nucleus without a past
where the mother ended.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tlseg.geometry import ball_radius
from tlseg.link.candidates import neighbours, pairs_across, path_um
from tlseg.link.chains import Chains
from tlseg.link.objects import Ints, Objects
from tlseg.link.settings import LinkSettings
from tlseg.link.stabilise import Stabilised

# Daughters are sought this far from their mother, in her radii at rest.
_REACH_RADII = 3.0

Triples = tuple[Ints, Ints, Ints]
"""Rows of mother, child and sister."""


def with_child(
    objects: Objects,
    placed: Stabilised,
    trees: list[cKDTree | None],
    chains: Chains,
    starts: Ints,
    *,
    settings: LinkSettings,
) -> Triples:
    """Mothers that kept one daughter as their own continuation, and the start that may be the other.

    Parameters
    ----------
    objects, placed, trees
        Nuclei, their stabilised positions, and a tree of these per frame.
    chains
        Links between them.
    starts
        Rows without a link backward, ascending.
    """
    of_frame = np.searchsorted(starts, objects.starts)
    mothers, sisters = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for missing in range(settings.division_gap + 1):
        reach = _reach(objects, missing)
        for frame in range(1 + missing, objects.frames):
            earlier = frame - 1 - missing
            tree, here = trees[earlier], starts[of_frame[frame] : of_frame[frame + 1]]
            if tree is None or not len(here):
                continue
            if any(earlier <= t < frame for t in placed.growth):
                tree = cKDTree(placed.later(placed.position_um[objects.rows(earlier)], earlier, frame))
            at, other = neighbours(tree, placed.position_um[here], count=settings.neighbours, reach=reach)
            mothers.append(other + int(objects.starts[earlier]))
            sisters.append(here[at])
    mother, sister = np.concatenate(mothers), np.concatenate(sisters)
    linked = (chains.following[mother] >= 0) & _near(objects, placed, chains, mother, sister)
    mother, sister = mother[linked], sister[linked]
    return mother, chains.following[mother], sister


def of_two_starts(
    objects: Objects, placed: Stabilised, chains: Chains, ends: Ints, starts: Ints, *, settings: LinkSettings
) -> Triples:
    """Find ended mothers and two starts that follow, each after at most `division_gap` missing frames."""
    found = [
        pairs_across(
            objects,
            placed,
            ends,
            starts,
            missing=missing,
            count=settings.neighbours,
            reach=_reach(objects, missing),
        )
        for missing in range(settings.division_gap + 1)
    ]
    mother, start = (np.concatenate(rows) for rows in zip(*found, strict=True))
    near = _near(objects, placed, chains, mother, start)
    mother, start = mother[near], start[near]
    order = np.lexsort((start, mother))
    mother, start = mother[order], start[order]
    one, two = _pairs_within(mother)
    return mother[one], start[one], start[two]


def _reach(objects: Objects, missing: int) -> float:
    """Greatest distance at which a daughter is sought."""
    return _REACH_RADII * float(objects.radius_um.max(initial=0.0)) * float(np.sqrt(1 + missing))


def _near(objects: Objects, placed: Stabilised, chains: Chains, mother: Ints, daughter: Ints) -> NDArray[np.bool_]:
    radius = ball_radius(chains.at_rest(objects.volume_um3, mother))
    passed = objects.t[daughter] - objects.t[mother]
    distance = np.linalg.norm(path_um(objects, placed, mother, daughter), axis=1)
    return np.asarray(distance <= _REACH_RADII * radius * np.sqrt(passed))


def _pairs_within(group: Ints) -> tuple[Ints, Ints]:
    """All pairs (i, j), i < j, of positions with the same value in a sorted array."""
    starts = np.flatnonzero(np.append(True, np.diff(group) != 0)) if len(group) else np.empty(0, np.int64)
    sizes = np.diff(np.append(starts, len(group)))
    one, two = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for size in np.unique(sizes).tolist():
        i, j = np.triu_indices(size, k=1)
        first = starts[sizes == size][:, None]
        one.append((first + i).ravel().astype(np.int64))
        two.append((first + j).ravel().astype(np.int64))
    return np.concatenate(one), np.concatenate(two)
