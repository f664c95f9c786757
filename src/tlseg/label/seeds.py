"""Where are the centres?

Seeds are regional maxima of the smoothed centre map, thinned by greedy non-maximum suppression. Whether a voxel is a local
maximum shows in a few voxels around it, so each block lists candidates in its core; which of them become seeds is decided
once per frame, on points. A plateau has a candidate at each of its corners, and becomes one seed; a terrace, from which the
map continues upwards, becomes none. So every block that sees a seed agrees on it, and its name is a global voxel position.
All arithmetic is in integers: sums in 32 bits, which hold those of any smoothing box of up to 8 million voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, Shape, Spacing, triple
from tlseg.label.near import Places
from tlseg.label.plateaus import join_plateaus, plateaus_of, tops
from tlseg.label.saddles import SaddleRule, join_over_saddles


@dataclass(frozen=True, slots=True)
class Candidates:
    """Local maxima of the smoothed centre map, of a block or of a frame.

    Parameters
    ----------
    position
        Global voxels (n, 3), (z, y, x), in C order.
    height
        Smoothed sums (n,).
    joined
        Positions (k, 2, 3) of maxima that are one nucleus: the map hardly dips between them.
    level
        Positions (k, 2, 3) of voxels on one plateau, maxima or not (`tlseg.label.plateaus`).
    terraces
        Positions (m, 3) of voxels on plateaus that are not maxima, because a higher voxel touches them elsewhere.
    """

    position: NDArray[np.int64]
    height: NDArray[np.int64]
    joined: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2, 3), np.int64))
    level: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2, 3), np.int64))
    terraces: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))

    @classmethod
    def of_blocks(cls, parts: list[Candidates]) -> Candidates:
        """Candidates of a whole frame, in C order of position, whatever the order of the blocks."""
        whole = [cls(np.zeros((0, 3), np.int64), np.zeros(0, np.int64)), *parts]
        position, height, joined, level, terraces = (
            np.concatenate([getattr(part, column.name) for part in whole]) for column in fields(cls)
        )
        order, pairs = np.lexsort(position.T[::-1]), np.lexsort(joined.reshape(-1, 6).T[::-1])
        return cls(position[order], height[order], joined[pairs], level, terraces)


def smoothing_window(side_um: float, spacing_um: Spacing) -> Shape:
    """Voxels along (z, y, x) of a box that reaches `side_um / 2`, rounded to whole voxels, either way; always odd."""
    return triple(2 * int(side_um / s / 2 + 0.5) + 1 if side_um > 0 else 1 for s in spacing_um)


def candidate_halo(window: Shape, beyond: Shape = (0, 0, 0)) -> Shape:
    """Voxels around a block that `candidates` must see: half the smoothing window, one neighbour, and a rule's halo.

    Plateaus are followed one voxel into the neighbouring blocks.
    """
    return triple(w // 2 + 1 + max(1, b) for w, b in zip(window, beyond, strict=True))


def candidates(
    centres: NDArray[np.uint8],
    foreground: NDArray[np.bool_],
    *,
    crop: Box,
    core: Box,
    window: Shape,
    threshold: int,
    spacing_um: Spacing,
    rule: SaddleRule | None = None,
) -> Candidates:
    """Voxels of the core of a block at which the centre map may have a local maximum: no neighbour exceeds them.

    Parameters
    ----------
    centres, foreground
        Centre map and nuclear regions (z, y, x) of `crop`.
    crop, core
        What was read and what the block owns, in voxels of the frame. `crop` holds the core and `candidate_halo` around
        it, except where the frame ends.
    window
        Smoothing box in voxels; a maximum is looked for in sums over it.
    threshold
        Least mean of the map over the box, 0..255.
    spacing_um, rule
        Voxel spacing (z, y, x), and when two maxima are one nucleus; None for never.
    """
    sums = centres.astype(np.int32)
    for axis, side in enumerate(window):
        if side > 1:
            sums = ndimage.convolve1d(sums, np.ones(side, np.int32), axis=axis, mode="nearest")
    high = foreground & (sums >= max(threshold * int(np.prod(window)), 1))
    highest, rising = tops(sums, high)
    seen = core.grow((1, 1, 1) if rule is None else rule.halo(spacing_um)).intersect(crop)
    outside = np.ones(highest.shape, dtype=bool)
    outside[seen.inside(crop).slices] = False
    highest[outside] = False
    local = _thin(np.argwhere(highest), np.where(foreground, sums, -1))
    position, height = local + np.array(crop.start), sums[tuple(local.T)].astype(np.int64)
    own = ((position >= core.start) & (position < core.stop)).all(axis=1)
    flat = plateaus_of(highest, rising, position[own], crop=crop, core=core)
    if rule is None:
        return Candidates(position[own], height[own], level=flat.links, terraces=flat.terraces)
    joined = join_over_saddles(position, height, sums, crop=crop, core=core, spacing_um=spacing_um, rule=rule)
    return Candidates(position[own], height[own], joined, flat.links, flat.terraces)


def select_seeds(found: Candidates, *, spacing_um: Spacing, distance_um: float) -> NDArray[np.int64]:
    """Seeds of a frame: from the highest candidate down, each more than `distance_um` away from all taken before.

    Candidates on one plateau count as one, whose first position is the seed; it is as near to others as the nearest of them.
    A candidate that shares a nucleus with a seed does not become one, nor does one on a terrace. Ties go to the first
    position in C order. Returns positions (n, 3) in C order; a seed's name is its position.
    """
    n = len(found.position)
    if n == 0:
        return np.zeros((0, 3), dtype=np.int64)
    places = Places.of(found.position, spacing_um)
    plateau, dropped = join_plateaus(found.position, found.level, found.terraces)
    members = np.split(np.argsort(plateau, kind="stable"), np.cumsum(np.bincount(plateau, minlength=len(dropped)))[:-1])
    partners = _partners(found)
    kept = []
    for i in np.lexsort((np.arange(n), -found.height)):
        if dropped[plateau[i]]:
            continue
        kept.append(i)
        for j in members[plateau[i]]:
            dropped[plateau[places.within(distance_um, of=int(j))]] = True
            dropped[plateau[partners.get(int(j), [])]] = True
    seeds: NDArray[np.int64] = found.position[np.sort(np.array(kept, dtype=np.int64))]
    return seeds


def _partners(found: Candidates) -> dict[int, list[int]]:
    """For candidates that are one nucleus with others: numbers of those others."""
    partners: dict[int, list[int]] = {}
    if len(found.joined):
        shape = tuple(found.position.max(axis=0) + 1)
        flat = np.ravel_multi_index(tuple(found.position.T), shape)
        numbers = np.searchsorted(flat, np.ravel_multi_index(tuple(np.moveaxis(found.joined, -1, 0)), shape))
        for one, other in numbers.tolist():
            partners.setdefault(one, []).append(other)
            partners.setdefault(other, []).append(one)
    return partners


def _thin(points: NDArray[Any], sums: NDArray[np.int32]) -> NDArray[np.int64]:
    """Drop points of a plateau that have an equal neighbour earlier in C order; -1 marks voxels that are not candidates."""
    earlier = [d for d in product((-1, 0, 1), repeat=3) if d < (0, 0, 0)]
    padded = np.pad(sums, 1, constant_values=-1)
    here = padded[tuple((points + 1).T)]
    alone = np.ones(len(points), dtype=bool)
    for step in earlier:
        alone &= padded[tuple((points + 1 + np.array(step)).T)] != here
    result: NDArray[np.int64] = points[alone].astype(np.int64)
    return result
