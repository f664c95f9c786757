"""Tell from tracks which labels of a frame are pieces of one nucleus: together they are as large as it was and will be."""

from __future__ import annotations

import numpy as np

from tlseg.geometry import ball_radius
from tlseg.link.chains import Chains
from tlseg.link.divisions import separate
from tlseg.link.link import Traced
from tlseg.link.mistakes import LONGEST, STEADY, Repair

# Halves of a nucleus have its volume together, up to this factor; the larger is smaller than it by that, and their centres
# are nearer than so many of its radii (two nuclei that touch are two radii apart).
_WHOLE, _SMALLER, _APART = 1.25, 0.85, 1.35
# A nucleus that is cut for several frames has the same volume before and after, up to this factor: daughters have not.
_SAME = 1.3
# A nucleus that is cut right before it divides is condensed: this much smaller than it was.
_CONDENSED = 0.85


def find_cut(traced: Traced) -> list[Repair]:
    """Pairs of labels of one frame that are one nucleus in the frames before and after."""
    objects, chains, position = traced.objects, traced.chains, traced.placed.position_um
    continued = np.zeros(len(objects), dtype=bool)
    continued[traced.gaps.b] = True
    joined = chains.joined(traced.gaps.a, traced.gaps.b)
    mothers = frozenset(traced.families.mother.tolist())
    repairs = []
    for frame in range(1, objects.frames - 1):
        rows = np.arange(*objects.starts[frame : frame + 2])
        pieces = rows[(chains.preceding[rows] < 0) & ~continued[rows]]
        tree = traced.trees[frame]
        if tree is None or len(rows) < 2 or not len(pieces):
            continue
        for piece in pieces.tolist():
            _, near = tree.query(position[piece], k=np.arange(1, min(4, len(rows)) + 1))
            for other in rows[np.asarray(near)[1:]].tolist():
                found = _once(traced, joined, piece, other) or _lasting(traced, joined, mothers, piece, other)
                if found:
                    repairs.extend(found)
                    break
    return repairs + _dividing(traced)


def _dividing(traced: Traced) -> list[Repair]:
    """Mothers that are cut right before they divide: daughters too near to be two nuclei, which part in the next frame."""
    objects, chains, families = traced.objects, traced.chains, traced.families
    position, volume = traced.placed.position_um, objects.volume_um3
    near = np.flatnonzero(~separate(objects, traced.placed, families.child, families.sister))
    repairs = []
    for mother, one, two in zip(
        *(rows[near].tolist() for rows in (families.mother, families.child, families.sister)), strict=True
    ):
        together = float(volume[one] + volume[two])
        ends = min(int(chains.following[one]), int(chains.following[two])) < 0
        if ends or objects.t[one] != objects.t[mother] + 1 or together > _CONDENSED * volume[mother]:
            continue
        frame = int(objects.t[one])
        centre = (volume[one] * position[one] + volume[two] * position[two]) / together
        if np.linalg.norm(centre - position[mother]) <= STEADY * objects.radius_um[mother]:
            labels = sorted((int(objects.label[one]), int(objects.label[two])))
            place = traced.placed.in_frame(frame - objects.first, centre[None])
            repairs.append(Repair(frame, "cut", (labels[0], labels[1]), place, np.array([together])))
    return repairs


def _once(traced: Traced, chains: Chains, piece: int, other: int) -> list[Repair]:
    """Repair of one frame, where the nucleus is whole in the next."""
    objects = traced.objects
    before, after, beside = (
        int(chains.preceding[other]),
        int(chains.following[other]),
        int(traced.chains.following[piece]),
    )
    if beside >= 0 and after >= 0:
        if objects.t[beside] < objects.t[after]:
            after = beside  # the nucleus is whole again as what follows the piece
        elif _stranger(traced, other, after):
            after = beside  # the nucleus goes on as the piece, and the other half was taken for one that is missing
        elif not _stranger(traced, piece, beside):
            return []
    elif after < 0:
        after = beside
    if before < 0 or after < 0:
        return []
    repair = _join(traced, (piece, other), before, after)
    return [] if repair is None else [repair]


def _lasting(traced: Traced, chains: Chains, mothers: frozenset[int], piece: int, other: int) -> list[Repair]:
    """Repairs of a few frames in a row, where both halves are seen in each and one of them ends."""
    objects = traced.objects
    before = int(chains.preceding[other])
    halves = [(piece, other)]
    while len(halves) < LONGEST:
        now = int(objects.t[piece])
        following = int(chains.following[piece]), int(chains.following[other])
        if min(following) < 0 or any(objects.t[row] != now + 1 for row in following):
            break
        piece, other = following
        halves.append((piece, other))
    ends = int(chains.following[piece]), int(chains.following[other])
    if before < 0 or len(halves) < 2 or min(ends) >= 0 or max(ends) < 0 or mothers & {piece, other}:
        return []
    after = max(ends)
    same = objects.volume_um3[after] / objects.volume_um3[before]
    if not 1 / _SAME <= same <= _SAME:
        return []
    repairs = [repair for pair in halves if (repair := _join(traced, pair, before, after)) is not None]
    return repairs if len(repairs) == len(halves) else []


def _join(traced: Traced, halves: tuple[int, int], before: int, after: int) -> Repair | None:
    """Repair that joins a piece to another label, where both have the volume and place of the nucleus around them."""
    objects, position, volume = traced.objects, traced.placed.position_um, traced.objects.volume_um3
    piece, other = halves
    whole = float(np.sqrt(volume[before] * volume[after]))
    radius = float(ball_radius(whole))
    together = float(volume[piece] + volume[other])
    fits = 1 / _WHOLE <= together / whole <= _WHOLE and max(volume[piece], volume[other]) < _SMALLER * whole
    if not fits or np.linalg.norm(position[piece] - position[other]) > _APART * radius:
        return None
    frame = int(objects.t[other])
    middle = (position[before] + position[after]) / 2
    centre = (volume[piece] * position[piece] + volume[other] * position[other]) / together
    frames = np.abs(objects.t[[before, after]] - frame)
    if (np.linalg.norm(centre - position[[before, after]], axis=1) > STEADY * radius * np.sqrt(frames)).any():
        return None
    return Repair(
        frame,
        "cut",
        (int(objects.label[other]), int(objects.label[piece])),
        traced.placed.in_frame(frame - objects.first, middle[None]),
        np.array([whole]),
    )


def _stranger(traced: Traced, half: int, after: int) -> bool:
    """Whether the continuation of a half is rather a nucleus that ended shortly before."""
    objects, position = traced.objects, traced.placed.position_um
    frame = int(objects.t[half]) - objects.first
    reach = min(float(np.linalg.norm(position[half] - position[after])), float(objects.radius_um[after]))
    shortly = range(max(0, frame - LONGEST), frame)
    rows = np.concatenate([traced.near(position[after], frame=earlier, reach=reach) for earlier in shortly])
    rows = rows[traced.chains.following[rows] < 0]
    return bool((np.linalg.norm(position[rows] - position[after], axis=1) < reach).any())
