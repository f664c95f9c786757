"""Tell from tracks which labels hold two nuclei: one is missing where a label is as large as it and another together.

A nucleus is missing between two frames it is seen in, between its mother and the first frame it is seen in, or between
the last frame it is seen in and its daughters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tlseg.link.link import Traced
from tlseg.link.mistakes import LONGEST, STEADY, Repair
from tlseg.link.objects import Floats, Ints

# A label that holds two nuclei has the volume of both, up to this factor, and is this much larger than one of them.
_SUM, _EXCESS = 1.3, 1.1
# A nucleus is as large before as after up to this factor: what became another in between says nothing of its size now.
_ALIKE = 2.0
# Its centre is within this many of its own radii from where the missing nucleus should be.
_WITHIN = 1.75
# A nucleus that such a label lets go starts within so many radii of where any of them ended.
_REBORN = 4.0


@dataclass(frozen=True, slots=True)
class _Missing:
    """A nucleus that no label stands for in a frame.

    Parameters
    ----------
    frame
        The frame.
    before, after
        Rows in which it, its mother or a daughter is seen.
    place, volume
        Where and how large it should be.
    passes
        Whether before and after are this nucleus itself.
    """

    frame: int
    before: int
    after: int
    place: Floats
    volume: float
    passes: bool


def find_merged(traced: Traced, *, halves: Iterable[tuple[int, int, int]]) -> list[Repair]:
    """Labels that hold a nucleus of their own chain and one that is missing for these frames.

    `halves` are frame and labels of two pieces of one nucleus: it is not missing while one of them continues.
    """
    whole = _elsewhere(traced, halves)
    claims: dict[int, list[_Missing]] = {}
    for missing in (*_passing(traced), *_dividing(traced)):
        if missing.passes and (missing.before in whole or missing.after in whole):
            continue
        row = _holder(traced, missing)
        if row >= 0:
            claims.setdefault(row, []).append(missing)
    found = (_take_apart(traced, row, missing) for row, missing in sorted(claims.items()))
    return [repair for repair in found if repair is not None]


def _elsewhere(traced: Traced, halves: Iterable[tuple[int, int, int]]) -> frozenset[int]:
    """Rows of pieces that end, or begin, while the other half of their nucleus is linked on that side."""
    objects, chains = traced.objects, traced.chains
    found = []
    for frame, *labels in halves:
        start, stop = objects.starts[frame - objects.first : frame - objects.first + 2]
        one, two = (int(start + np.flatnonzero(objects.label[start:stop] == label)[0]) for label in labels)
        for links in (chains.following, chains.preceding):
            linked = links[one] >= 0, links[two] >= 0
            found += [row for row, here, there in ((one, *linked), (two, *linked[::-1])) if there and not here]
    return frozenset(found)


def _passing(traced: Traced) -> Iterator[_Missing]:
    """Nuclei that are seen before and after."""
    objects, position = traced.objects, traced.placed.position_um
    for a, b in [*zip(traced.gaps.a.tolist(), traced.gaps.b.tolist(), strict=True), *_reborn(traced)]:
        first, last = int(objects.t[a]), int(objects.t[b])
        if last - first - 1 <= LONGEST:
            volume = float(min(objects.volume_um3[a], objects.volume_um3[b]))
            for frame in range(first + 1, last):
                share = (frame - first) / (last - first)
                yield _Missing(frame, a, b, (1 - share) * position[a] + share * position[b], volume, True)


def _dividing(traced: Traced) -> Iterator[_Missing]:
    """Mothers that are missing before their daughters are seen, and daughters that are seen later than their sister."""
    objects, position, volume = traced.objects, traced.placed.position_um, traced.objects.volume_um3
    families = traced.families
    for mother, *pair in zip(families.mother.tolist(), families.child.tolist(), families.sister.tolist(), strict=True):
        first, second = sorted(pair, key=lambda row: (int(objects.t[row]), row))
        middle = np.average(position[[first, second]], axis=0, weights=volume[[first, second]])
        between = float(np.sqrt(volume[mother] * (volume[first] + volume[second])))
        last, birth, late = (int(objects.t[row]) for row in (mother, first, second))
        for frame in range(last + 1, birth):
            share = (frame - last) / (birth - last)
            place = (1 - share) * position[mother] + share * middle
            yield _Missing(frame, mother, first, place, between, False)
        for frame in range(birth, late):
            beside = _along(traced, first, frame)
            size = float(min(volume[second], volume[beside if beside >= 0 else second]))
            yield _Missing(frame, mother, second, position[second], size, False)


def _reborn(traced: Traced) -> list[tuple[int, int]]:
    """Nuclei that ended where another was about to divide, and the daughter they may be.

    A label that holds two nuclei and then lets them go looks like a mother.
    """
    objects, position = traced.objects, traced.placed.position_um
    open_end = (traced.chains.following < 0) & (objects.t < objects.last)
    open_end[traced.gaps.a] = open_end[traced.families.mother] = False
    ended = np.flatnonzero(open_end)
    parts = np.searchsorted(ended, objects.starts)
    found = []
    families = traced.families
    for mother, sister in zip(families.mother.tolist(), families.sister.tolist(), strict=True):
        if objects.t[sister] != objects.t[mother] + 1:
            continue
        last = int(objects.t[mother]) - objects.first
        for frame in range(last - 1, max(-1, last - 1 - LONGEST), -1):
            rows = ended[parts[frame] : parts[frame + 1]]
            if not len(rows):
                continue
            distance = np.linalg.norm(position[rows] - position[sister], axis=1)
            nearest = int(np.argmin(distance))
            if distance[nearest] <= _REBORN * objects.radius_um[rows[nearest]]:
                found.append((int(rows[nearest]), sister))
                break
    return found


def _holder(traced: Traced, missing: _Missing) -> int:
    """Row of the label in whose reach a missing nucleus lies; -1 if there is none."""
    objects = traced.objects
    frame = missing.frame - objects.first
    start, tree = int(objects.starts[frame]), traced.trees[frame]
    if tree is None:
        return -1
    distance, index = tree.query(missing.place, k=np.arange(1, min(4, tree.n) + 1))
    rows = start + np.asarray(index)
    relative = np.asarray(distance) / objects.radius_um[rows]
    relative[objects.volume_um3[rows] <= _EXCESS * missing.volume] = np.inf
    best = int(np.argmin(relative))
    return int(rows[best]) if relative[best] <= _WITHIN else -1


def _take_apart(traced: Traced, row: int, missing: list[_Missing]) -> Repair | None:
    """Repair of a label that holds all of `missing`, and the nucleus of its own chain where that is seen on both sides."""
    objects, size = traced.objects, traced.objects.volume_um3
    frame = int(objects.t[row])
    own = _own(
        traced,
        row,
        min(int(objects.t[one.before]) for one in missing),
        max(int(objects.t[one.after]) for one in missing),
    )
    passing = [(one.before, one.after) for one in missing if one.passes]
    # Where its label is linked on neither side, its own nucleus may be one of those that are missing: it counts once.
    if min(own) >= 0 and not any(own[0] == before or own[1] == after for before, after in passing):
        passing.insert(0, own)
    others = [one for one in missing if not one.passes]
    if len(passing) + len(others) < 2:
        return None
    if any(max(size[a], size[b]) > _ALIKE * min(size[a], size[b]) for a, b in passing):
        return None
    volume = np.array([*(np.sqrt(size[a] * size[b]) for a, b in passing), *(one.volume for one in others)])
    seen = float(size[row])
    if not (1 / _SUM <= seen / volume.sum() <= _SUM and seen > _EXCESS * volume.max()):
        return None
    position = np.stack([*_between(traced, passing, frame), *(one.place for one in others)])
    centre = (volume @ position) / volume.sum()
    if np.linalg.norm(centre - traced.placed.position_um[row]) > STEADY * objects.radius_um[row]:
        return None
    return Repair(
        frame,
        "merged",
        (int(objects.label[row]),),
        traced.placed.in_frame(frame - objects.first, position),
        volume,
    )


def _own(traced: Traced, row: int, first: int, last: int) -> tuple[int, int]:
    """Rows of a label's own nucleus in a frame before and one after; -1 where it is not seen.

    A label that holds two nuclei may be too unlike its own to be linked to it: then on that side its nucleus is the one that
    ends, or starts, where it is on the other.
    """
    chains = traced.chains
    before, after = _along(traced, row, first), _along(traced, row, last)
    if before < 0 and after < 0:
        before = _open(traced, row, first, chains.following, ratios=(0.0, 1.0))
    if before < 0 <= after:
        before = _open(traced, after, first, chains.following)
    elif after < 0 <= before:
        after = _open(traced, before, last, chains.preceding)
    return before, after


def _along(traced: Traced, row: int, frame: int) -> int:
    """Row of the same chain in another frame; -1 if it is not there."""
    passed = frame - int(traced.objects.t[row])
    step = traced.chains.following if passed > 0 else traced.chains.preceding
    for _ in range(abs(passed)):
        row = int(step[row]) if row >= 0 else -1
    return row


def _open(
    traced: Traced, like: int, frame: int, linked: Ints, *, ratios: tuple[float, float] = (1 / _SUM, _SUM)
) -> int:
    """Row of a frame that has no link, lies where another does, and is as large up to `ratios`; -1 if there is none."""
    objects, position = traced.objects, traced.placed.position_um
    rows = traced.near(position[like], frame=frame - objects.first, reach=float(objects.radius_um[like]))
    ratio = objects.volume_um3[rows] / objects.volume_um3[like]
    rows = rows[(ratio >= ratios[0]) & (ratio <= ratios[1]) & (linked[rows] < 0)]
    distance = np.linalg.norm(position[rows] - position[like], axis=1)
    return int(rows[np.argmin(distance)]) if len(rows) else -1


def _between(traced: Traced, passing: list[tuple[int, int]], frame: int) -> Floats:
    """Where nuclei seen before and after lie in a frame between, (k, 3); of two, who is who is decided by the shorter way.

    Linking has to guess which of two nuclei continues as the label that holds both.
    """
    t, position = traced.objects.t, traced.placed.position_um
    before, after = [a for a, _ in passing], [b for _, b in passing]
    if len(passing) == 2:
        straight = sum(float(((position[a] - position[b]) ** 2).sum()) for a, b in passing)
        crossed = sum(float(((position[a] - position[b]) ** 2).sum()) for a, b in zip(before, after[::-1], strict=True))
        after = after[::-1] if crossed < straight else after
    share = np.array([(frame - t[a]) / (t[b] - t[a]) for a, b in zip(before, after, strict=True)])[:, None]
    return np.asarray((1 - share) * position[before] + share * position[after], dtype=np.float64)
