"""Tell which nucleus without a past is a daughter, and whose.

Distance alone finds divisions badly, so a mother and two daughters are judged together: their volumes, how alike the
sisters are, and whether the mother lies between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tlseg.link.assign import ALONE
from tlseg.link.candidates import log_ratio_squared, neighbours
from tlseg.link.objects import Floats, Ints, Objects
from tlseg.link.register import Stabilised
from tlseg.link.settings import LinkSettings

# Daughters are sought this far from their mother, in median radii.
_REACH_RADII = 3.0
# Weights: midpoint of the sisters from the mother (in mother radii, squared), sisters on one side, unlike sisters,
# volume not kept. Two daughters of a mother cost about 0.2; a nucleus that stays and a neighbour that appears, 1.7.
_MIDPOINT, _SIDE, _UNLIKE, _VOLUME = 0.5, 0.5, 0.5, 1.5
# A daughter seen in one frame only is more often a nucleus cut in two.
_SHORT = 0.5


@dataclass(frozen=True, slots=True)
class Families:
    """Candidate divisions.

    Parameters
    ----------
    mother, child, sister
        Rows in `Objects`, shape (m,); `sister` had no link backward.
    cost
        Share of the highest cost allowed, shape (m,): below 1 it may be a division.
    """

    mother: Ints
    child: Ints
    sister: Ints
    cost: Floats

    def take(self, index: Ints) -> Families:
        """Only these candidates."""
        return Families(self.mother[index], self.child[index], self.sister[index], self.cost[index])


def division_cost(objects: Objects, placed: Stabilised, mother: Ints, one: Ints, two: Ints) -> Floats:
    """How unlike a division a mother and two later nuclei are, shape (m,); 0 is the ideal, below 0.8 is plausible.

    `0.5 |M - m|^2 / r^2 + 0.5 (1 + cos(a)) / 2 + 0.5 ln(V1 / V2)^2 + 1.5 ln((V1 + V2) / V)^2`: m the midpoint of the
    sisters weighted by volume, r and V the mother's radius and volume, a the angle between the sisters seen from the
    mother. Nuclei of sisters are alike and share the mother's volume.
    """
    p, v = placed.position_um, objects.volume_um3
    to_one, to_two = p[one] - p[mother], p[two] - p[mother]
    middle = (v[one, None] * to_one + v[two, None] * to_two) / (v[one] + v[two])[:, None]
    length = np.linalg.norm(to_one, axis=1) * np.linalg.norm(to_two, axis=1)
    cosine = np.divide(np.einsum("ij,ij->i", to_one, to_two), length, out=np.zeros_like(length), where=length > 0)
    return np.asarray(
        _MIDPOINT * np.einsum("ij,ij->i", middle, middle) / objects.radius_um[mother] ** 2
        + _SIDE * (1 + cosine) / 2
        + _UNLIKE * log_ratio_squared(v[one], v[two])
        + _VOLUME * log_ratio_squared(v[mother], v[one] + v[two])
    )


def families_with_child(
    objects: Objects,
    placed: Stabilised,
    trees: list[cKDTree | None],
    following: Ints,
    starts: Ints,
    *,
    settings: LinkSettings,
) -> Families:
    """Mothers that kept one daughter as their own continuation, and the start that may be the other.

    Parameters
    ----------
    objects, placed, trees
        Nuclei, their stabilised positions, and a tree of these per frame.
    following
        Row in the next frame each row is linked to, -1 where none, shape (n,).
    starts
        Rows without a link backward, ascending.
    """
    mothers, sisters = _near(objects, placed, trees, starts, step=-1, settings=settings)
    linked = following[mothers] >= 0
    mothers, sisters = mothers[linked], sisters[linked]
    return _families(objects, placed, following, mothers, following[mothers], sisters, settings=settings)


def families_of_two_starts(
    objects: Objects,
    placed: Stabilised,
    following: Ints,
    ends: Ints,
    starts: Ints,
    *,
    settings: LinkSettings,
) -> Families:
    """Find ended mothers and two starts in the next frame, the best first; no nucleus is in two of them."""
    start_frame = objects.t[starts] - objects.first
    trees: list[cKDTree | None] = [None] * objects.frames
    rows_of: dict[int, Ints] = {}
    for frame in np.unique(start_frame).tolist():
        rows_of[frame] = starts[start_frame == frame]
        trees[frame] = cKDTree(placed.position_um[rows_of[frame]])
    offsets = np.zeros(objects.frames, dtype=np.int64)
    born, mothers = _near(objects, placed, trees, ends, step=1, settings=settings, offsets=offsets)
    born = _rows(rows_of, objects.t[mothers] - objects.first + 1, born)
    order = np.lexsort((born, mothers))
    born, mothers = born[order], mothers[order]
    one, two = _pairs_within(mothers)
    found = _families(objects, placed, following, mothers[one], born[one], born[two], settings=settings)
    return found.take(_greedy(found))


def keep_grown_mothers(objects: Objects, same_a: Ints, same_b: Ints, found: Families, *, frames: int) -> Ints:
    """Keep the divisions whose mother is old enough; their indices, in order of time.

    Parameters
    ----------
    objects
        Nuclei of the movie.
    same_a, same_b
        Rows joined as one nucleus: links and gaps, mother to child included.
    found
        Divisions to choose from, each nucleus in one at most as mother and in one at most as daughter.
    frames
        Fewest frames from a nucleus's birth by division to its own division; nuclei whose birth was not seen pass.
    """
    n = len(objects)
    joined = coo_array((np.ones(len(same_a)), (same_a, same_b)), shape=(n, n))
    _, chain = connected_components(joined, directed=False)
    born: dict[int, int] = {}
    kept = []
    for index in np.lexsort((found.mother, objects.t[found.mother])).tolist():
        mother, child, sister = (int(rows[index]) for rows in (found.mother, found.child, found.sister))
        now = int(objects.t[mother]) + 1
        birth = born.get(int(chain[mother]))
        if birth is None or now - birth >= frames:
            kept.append(index)
            born[int(chain[child])] = born[int(chain[sister])] = now
    return np.array(kept, dtype=np.int64)


def _near(
    objects: Objects,
    placed: Stabilised,
    trees: list[cKDTree | None],
    rows: Ints,
    *,
    step: int,
    settings: LinkSettings,
    offsets: Ints | None = None,
) -> tuple[Ints, Ints]:
    """Pairs (row in the frame `step` away, row of `rows`) near each other after registration."""
    reach = _REACH_RADII * float(np.median(objects.radius_um)) if len(objects) else 1.0
    offsets = objects.starts[:-1] if offsets is None else offsets
    frame_of = objects.t[rows] - objects.first
    others, own = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for frame in np.unique(frame_of).tolist():
        tree = trees[frame + step] if 0 <= frame + step < len(trees) else None
        if tree is not None:
            here = rows[frame_of == frame]
            at, other = neighbours(tree, placed.position_um[here], count=settings.neighbours, reach=reach)
            others.append(other + int(offsets[frame + step]))
            own.append(here[at])
    return np.concatenate(others), np.concatenate(own)


def _families(
    objects: Objects,
    placed: Stabilised,
    following: Ints,
    mother: Ints,
    child: Ints,
    sister: Ints,
    *,
    settings: LinkSettings,
) -> Families:
    if settings.division_cost == 0 or not len(mother):
        none = np.empty(0, np.int64)
        return Families(none, none, none, np.empty(0))
    before_last = objects.t[child] < objects.first + objects.frames - 1
    short = before_last & ((following[child] < 0) | (following[sister] < 0))
    cost = division_cost(objects, placed, mother, child, sister) + _SHORT * short
    found = Families(mother, child, sister, cost / settings.division_cost * ALONE)
    return found.take(np.flatnonzero(found.cost < ALONE).astype(np.int64))


def _rows(rows_of: dict[int, Ints], frame: Ints, index: Ints) -> Ints:
    """Turn indices within the starts of a frame into rows."""
    rows = np.empty(len(index), dtype=np.int64)
    for number in np.unique(frame).tolist():
        here = frame == number
        rows[here] = rows_of[number][index[here]]
    return rows


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


def _greedy(found: Families) -> Ints:
    """Cheapest first, each nucleus used once."""
    used: set[int] = set()
    kept = []
    for index in np.lexsort((found.sister, found.child, found.mother, found.cost)).tolist():
        members = {int(rows[index]) for rows in (found.mother, found.child, found.sister)}
        if not members & used:
            used |= members
            kept.append(index)
    return np.sort(np.array(kept, dtype=np.int64))
