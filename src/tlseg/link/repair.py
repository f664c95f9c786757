"""Tell from tracks which labels hold two nuclei, and which are halves of one.

Only what its neighbours in time contradict on both sides is repaired: a nucleus that is missing between two frames it is
seen in, where one label is as large as it and another together; or a piece seen in a frame or two, beside a nucleus that
is too small just then. What is missing without a label in its place stays a gap: no voxel is invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from tlseg.link.chains import Chains
from tlseg.link.link import Traced, trace
from tlseg.link.objects import Floats, Ints
from tlseg.link.settings import LinkSettings

Kind = Literal["merged", "cut"]

# Longest run of frames that is repaired.
_LONGEST = 3
# A label that holds two nuclei has the volume of both, up to this factor, and is this much larger than one of them.
_SUM, _EXCESS = 1.3, 1.2
# Its centre is within this many of its own radii from where the missing nucleus should be.
_WITHIN = 1.3
# A nucleus that such a label lets go starts within so many radii of where any of them ended.
_REBORN = 4.0
# Halves of a nucleus have its volume together, up to this factor; the larger is smaller than it by that, and their centres
# are nearer than so many of its radii (two nuclei that touch are two radii apart).
_WHOLE, _SMALLER, _APART = 1.25, 0.85, 1.35
# Whatever is repaired is where the frames before and after say, within so many of its radii; where nuclei move further than
# that between frames, volumes that fit are chance.
_STEADY = 0.75


@dataclass(frozen=True, slots=True)
class Repair:
    """One mistake in one frame.

    Parameters
    ----------
    frame
        Frame it is in.
    kind
        `merged`: one label holds several nuclei; `cut`: several labels are one nucleus.
    labels
        Labels it is about: the one that is merged, or those to be joined, the first of which stays.
    position_um, volume_um3
        Where and how large each nucleus should be, from the frames before and after, shapes (k, 3) and (k,).
    """

    frame: int
    kind: Kind
    labels: tuple[int, ...]
    position_um: Floats
    volume_um3: Floats


def find_repairs(
    objects: pd.DataFrame, overlaps: pd.DataFrame, *, settings: LinkSettings | None = None
) -> list[Repair]:
    """Mistakes that tracks show, in order of frame and label; no label is in two of them.

    Parameters
    ----------
    objects, overlaps, settings
        As for `link_objects`.
    """
    traced = trace(objects, overlaps, settings=settings)
    found = [*_merged(traced), *_cut(traced)]
    used: set[tuple[int, int]] = set()
    kept = []
    for repair in sorted(found, key=lambda r: (r.frame, r.kind != "merged", r.labels)):
        mine = {(repair.frame, label) for label in repair.labels}
        if not mine & used:
            used |= mine
            kept.append(repair)
    return kept


@dataclass(frozen=True, slots=True)
class _Walk:
    """Rows of each chain by frame."""

    chain: Ints
    row_of: dict[tuple[int, int], int]

    @classmethod
    def along(cls, traced: Traced) -> _Walk:
        chain = np.arange(len(traced.objects), dtype=np.int64)
        for row, before in enumerate(traced.chains.preceding.tolist()):
            if before >= 0:  # rows are ordered by frame, so that of the row before is known
                chain[row] = chain[before]
        times = traced.objects.t.tolist()
        return cls(chain, {(c, t): row for row, (c, t) in enumerate(zip(chain.tolist(), times, strict=True))})

    def at(self, row: int, frame: int) -> int:
        """Row of the same chain in another frame; -1 where it is not there."""
        return self.row_of.get((int(self.chain[row]), frame), -1)


def _merged(traced: Traced) -> list[Repair]:
    """Labels that hold a nucleus of their own chain and one that is missing for these frames."""
    objects, walk = traced.objects, _Walk.along(traced)
    claims: dict[int, list[tuple[int, int]]] = {}
    trees = {}
    for a, b in [*zip(traced.gaps.a.tolist(), traced.gaps.b.tolist(), strict=True), *_reborn(traced)]:
        first, last = int(objects.t[a]), int(objects.t[b])
        if last - first - 1 > _LONGEST:
            continue
        for frame in range(first + 1, last):
            if frame not in trees:
                rows = objects.rows(frame - objects.first)
                trees[frame] = cKDTree(traced.placed.position_um[rows]) if rows.stop > rows.start else None
            row = _holder(traced, trees[frame], a, b, frame)
            if row >= 0:
                claims.setdefault(row, []).append((a, b))
    repairs = []
    for row, missing in sorted(claims.items()):
        repair = _take_apart(traced, walk, row, missing)
        if repair is not None:
            repairs.append(repair)
    return repairs


def _reborn(traced: Traced) -> list[tuple[int, int]]:
    """Nuclei that ended where another was about to divide, and the daughter they may be.

    A label that holds two nuclei and then lets them go looks like a mother.
    """
    objects, position = traced.objects, traced.placed.position_um
    open_end = (traced.chains.following < 0) & (objects.t < objects.first + objects.frames - 1)
    open_end[traced.gaps.a] = open_end[traced.families.mother] = False
    found = []
    families = traced.families
    for mother, sister in zip(families.mother.tolist(), families.sister.tolist(), strict=True):
        frame = int(objects.t[mother]) - 1 - objects.first
        if frame < 0 or objects.t[sister] != objects.t[mother] + 1:
            continue
        rows = np.arange(*objects.starts[frame : frame + 2])
        rows = rows[open_end[rows]]
        if len(rows):
            distance = np.linalg.norm(position[rows] - position[sister], axis=1)
            nearest = int(np.argmin(distance))
            if distance[nearest] <= _REBORN * objects.radius_um[rows[nearest]]:
                found.append((int(rows[nearest]), sister))
    return found


def _holder(traced: Traced, tree: cKDTree | None, a: int, b: int, frame: int) -> int:
    """Row of the label in whose reach a missing nucleus lies; -1 where there is none."""
    if tree is None:
        return -1
    objects, position = traced.objects, traced.placed.position_um
    share = (frame - objects.t[a]) / (objects.t[b] - objects.t[a])
    place = (1 - share) * position[a] + share * position[b]
    start = int(objects.starts[frame - objects.first])
    distance, index = tree.query(place, k=np.arange(1, min(4, tree.n) + 1))
    rows = start + np.asarray(index)
    relative = np.asarray(distance) / objects.radius_um[rows]
    large = objects.volume_um3[rows] > _EXCESS * min(objects.volume_um3[a], objects.volume_um3[b])
    relative[~large] = np.inf
    best = int(np.argmin(relative))
    return int(rows[best]) if relative[best] <= _WITHIN else -1


def _take_apart(traced: Traced, walk: _Walk, row: int, missing: list[tuple[int, int]]) -> Repair | None:
    """Repair of a label that holds all of `missing`, and the nucleus of its own chain where that is seen on both sides."""
    objects = traced.objects
    frame = int(objects.t[row])
    first, last = min(int(objects.t[a]) for a, _ in missing), max(int(objects.t[b]) for _, b in missing)
    own = walk.at(row, first), walk.at(row, last)
    passing = [*missing] if min(own) < 0 else [own, *missing]
    if len(passing) < 2:
        return None
    volume = np.array([np.sqrt(objects.volume_um3[a] * objects.volume_um3[b]) for a, b in passing])
    seen = float(objects.volume_um3[row])
    if not (1 / _SUM <= seen / volume.sum() <= _SUM and seen > _EXCESS * volume.max()):
        return None
    position = _between(traced, passing, frame)
    centre = (volume @ position) / volume.sum()
    if np.linalg.norm(centre - traced.placed.position_um[row]) > _STEADY * objects.radius_um[row]:
        return None
    return Repair(
        frame,
        "merged",
        (int(objects.label[row]),),
        traced.placed.in_frame(frame - objects.first, position),
        volume,
    )


def _between(traced: Traced, passing: list[tuple[int, int]], frame: int) -> Floats:
    """Where nuclei seen before and after lie in a frame between, (k, 3); of two, who is who is decided by the shorter way.

    Linking has to guess which of two nuclei goes on as the label that holds both.
    """
    t, position = traced.objects.t, traced.placed.position_um
    before, after = [a for a, _ in passing], [b for _, b in passing]
    if len(passing) == 2:
        straight = sum(float(((position[a] - position[b]) ** 2).sum()) for a, b in passing)
        crossed = sum(float(((position[a] - position[b]) ** 2).sum()) for a, b in zip(before, after[::-1], strict=True))
        after = after[::-1] if crossed < straight else after
    share = np.array([(frame - t[a]) / (t[b] - t[a]) for a, b in zip(before, after, strict=True)])[:, None]
    return np.asarray((1 - share) * position[before] + share * position[after], dtype=np.float64)


def _cut(traced: Traced) -> list[Repair]:
    """Pairs of labels of one frame that are one nucleus in the frames before and after."""
    objects, chains, position = traced.objects, traced.chains, traced.placed.position_um
    continued = np.zeros(len(objects), dtype=bool)
    continued[traced.gaps.b] = True
    joined = chains.joined(traced.gaps.a, traced.gaps.b)
    repairs = []
    for frame in range(1, objects.frames - 1):
        rows = np.arange(*objects.starts[frame : frame + 2])
        pieces = rows[(chains.preceding[rows] < 0) & ~continued[rows]]
        if len(rows) < 2 or not len(pieces):
            continue
        tree = cKDTree(position[rows])
        for piece in pieces.tolist():
            _, near = tree.query(position[piece], k=np.arange(1, min(4, len(rows)) + 1))
            for other in rows[np.asarray(near)[1:]].tolist():
                repair = _join(traced, joined, piece, other)
                if repair is not None:
                    repairs.append(repair)
                    break
    return repairs


def _join(traced: Traced, chains: Chains, piece: int, other: int) -> Repair | None:
    """Repair that joins a piece with no past to another label, where both have the volume of the nucleus around them."""
    objects, position = traced.objects, traced.placed.position_um
    before, after, beside = chains.preceding[other], chains.following[other], traced.chains.following[piece]
    if beside >= 0 and after >= 0:
        if _stranger(traced, other, after):
            after = beside  # the nucleus goes on as the piece, and the other half was taken for one that is missing
        elif not _stranger(traced, piece, beside):
            return None
    elif after < 0:
        after = beside
    if before < 0 or after < 0:
        return None
    volume = objects.volume_um3
    whole = float(np.sqrt(volume[before] * volume[after]))
    radius = float(np.cbrt(whole * 3 / (4 * np.pi)))
    together = float(volume[piece] + volume[other])
    fits = 1 / _WHOLE <= together / whole <= _WHOLE and max(volume[piece], volume[other]) < _SMALLER * whole
    if not fits or np.linalg.norm(position[piece] - position[other]) > _APART * radius:
        return None
    frame = int(objects.t[other])
    middle = (position[before] + position[after]) / 2
    centre = (volume[piece] * position[piece] + volume[other] * position[other]) / together
    if max(np.linalg.norm(centre - position[row]) for row in (before, after)) > _STEADY * radius:
        return None
    return Repair(
        frame,
        "cut",
        (int(objects.label[other]), int(objects.label[piece])),
        traced.placed.in_frame(frame - objects.first, middle[None]),
        np.array([whole]),
    )


def _stranger(traced: Traced, half: int, after: int) -> bool:
    """Whether what a half goes on as is rather a nucleus that ended shortly before."""
    objects, position = traced.objects, traced.placed.position_um
    frame = int(objects.t[half]) - objects.first
    rows = np.arange(int(objects.starts[max(0, frame - _LONGEST)]), int(objects.starts[frame]), dtype=np.int64)
    rows = rows[traced.chains.following[rows] < 0]
    nearest = np.linalg.norm(position[rows] - position[after], axis=1).min(initial=np.inf)
    own = np.linalg.norm(position[half] - position[after])
    return bool(nearest < min(own, objects.radius_um[after]))
