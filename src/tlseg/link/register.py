"""Find how the whole embryo moved between two frames: one rigid motion per pair of frames.

Starts are tried from the likeliest to the widest - no motion, the shift of the centroid, the shift most pairs agree
on, every rotation of a fixed grid - and the first that explains the pair ends the search, so the costly ones run only
where small motion fails: where it fits no better than turns that are certainly wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from tlseg.link.objects import Floats, Ints, Objects, Overlaps
from tlseg.link.rotations import Rigid, kabsch, planar_grid, rotation_grid
from tlseg.link.settings import LinkSettings

# Distance beyond which two nuclei do not match, in median radii; also the unit of the score.
_CAP_RADII = 3.0
# A doubled volume counts as this share of the cap; four times the volume as twice of it.
_DOUBLING = 0.35
# A motion explains a pair of frames when the better three quarters of the nuclei (others divide or are missed) have
# a mean squared residual of at most this share of the cap squared: a root mean square of 0.4 radii. Few nuclei fit a
# wrong motion more easily (eight in an embryo are nearly symmetric), so below _MANY it is less in proportion.
_EXPLAINED, _CORE, _MANY = 0.02, 0.75, 32
# Where nuclei wander on their own no motion fits that well, and then it explains a pair when it fits this much better than
# chance: than the median of a few turns from all over, each matched and fitted in so many steps. In balls of 50 to 1000
# nuclei that wandered by up to 0.7 radii, right motions had 0.006 to 0.21 of chance, wrong ones 0.60 and more. Fewer nuclei
# than _MANY fit wrong turns too well for that.
_OF_CHANCE, _CHANCES, _CHANCE_STEPS = 0.3, 9, 3
# A rotation found by the wide search must be good by itself (same measure), and either twice as good as small motion
# over all nuclei or four times as good over the better three quarters.
_BELIEVED, _TWICE = 0.08, 0.5
# Share of the residual at rest that may remain under a small motion, before what its own freedom takes off: where half
# of the nuclei divide, fitting one daughter of each turns an embryo that lies still.
_GAIN = 0.75
# Overlaps of this IoU in three quarters of the nuclei say that nothing moved far.
_OVERLAP_IOU, _OVERLAP_SHARE = 0.3, 0.75
# Up to this many pairs matching is an exact assignment, above it mutual nearest neighbours of at most _SAMPLE nuclei.
_EXACT_PAIRS, _SAMPLE = 10_000, 400
# Starts of the wide search that are refined: fewer the more nuclei there are, since more nuclei rank starts better.
_REFINED, _LEAST_REFINED, _REFINED_NUCLEI = 512, 32, 4096
# Steps of matching and fitting: roughly for all of them, to the end for those that lead then.
_ROUGH_STEPS, _LEADING, _STEPS = 3, 32, 12
_PLANAR_TURNS = 360


@dataclass(frozen=True, slots=True)
class Stabilised:
    """Positions with the embryo's own motion taken out.

    Parameters
    ----------
    position_um
        Centroids in the coordinates of the first frame, shape (n, 3).
    moved_um
        How far the rigid motion to the next frame moves each nucleus, shape (n,); 0 in the last frame.
    to_first
        Motion from each frame, counted from `Objects.first`, to the first; empty where none was taken out.
    """

    position_um: Floats
    moved_um: Floats
    to_first: tuple[Rigid, ...] = ()

    def in_frame(self, frame: int, points: Floats) -> Floats:
        """Stabilised points (n, 3) where they lie in a frame, counted from `Objects.first`."""
        return self.to_first[frame].inverse().apply(points) if self.to_first else points


@dataclass(frozen=True, slots=True)
class _Cloud:
    """Nuclei of one frame: (z, y, x, scaled log volume), shape (n, 4), with a tree over them and a sample of rows."""

    points: Floats
    tree: cKDTree
    sample: Ints


@dataclass(frozen=True, slots=True)
class _Fit:
    """A motion, its mean squared residual over the cap squared, and the same of the better three quarters."""

    motion: Rigid
    score: float
    core: float


@dataclass(frozen=True, slots=True)
class _Matches:
    """Rows of two clouds that belong together, and how well (see `_Fit`)."""

    a: Ints
    b: Ints
    score: float
    core: float


def stabilise(objects: Objects, overlaps: Overlaps, *, settings: LinkSettings) -> Stabilised:
    """Take the rigid motion between frames out of all positions.

    Parameters
    ----------
    objects
        Nuclei of the movie.
    overlaps
        Where most nuclei overlap themselves in the next frame, no wide search is made.
    settings
        `register` and `rotations` are used.

    Returns
    -------
    Stabilised
        Positions that a nucleus at rest within the embryo keeps from frame to frame.
    """
    position, moved = objects.position_um.copy(), np.zeros(len(objects))
    if not settings.register or objects.frames < 2:
        return Stabilised(position, moved)
    cap = _CAP_RADII * float(np.median(objects.radius_um))
    planar = bool(np.ptp(objects.position_um[:, 0]) == 0)
    overlapping = _overlapping_share(objects, overlaps)
    to_first = Rigid.identity()
    motions = []
    last, cloud = -1, None
    for frame in range(objects.frames):
        rows = objects.rows(frame)
        if rows.start == rows.stop:
            motions.append(to_first)
            continue
        following = _cloud(objects.position_um[rows], objects.volume_um3[rows], cap)
        if cloud is not None:
            adjacent = last == frame - 1
            motion = _register(
                cloud,
                following,
                cap=cap,
                planar=planar,
                rotations=settings.rotations,
                still=adjacent and bool(overlapping[last] >= _OVERLAP_SHARE),
            )
            before = objects.rows(last)
            here = objects.position_um[before]
            moved[before] = np.linalg.norm(motion.apply(here) - here, axis=1)
            to_first = to_first.after(motion.inverse())
        position[rows] = to_first.apply(objects.position_um[rows])
        motions.append(to_first)
        last, cloud = frame, following
    return Stabilised(position, moved, tuple(motions))


def register(
    a: tuple[Floats, Floats], b: tuple[Floats, Floats], *, cap_um: float, rotations: int, planar: bool = False
) -> Rigid:
    """Rigid motion that brings the nuclei of frame `a` onto those of frame `b`.

    Parameters
    ----------
    a, b
        Positions (n, 3) in micrometres and volumes (n,) in cubic micrometres.
    cap_um
        Distance beyond which nuclei do not match.
    rotations
        Rotations tried where small motion fails.
    planar
        Turn about the z axis only.
    """
    clouds = [_cloud(position, volume, cap_um) for position, volume in (a, b)]
    return _register(clouds[0], clouds[1], cap=cap_um, planar=planar, rotations=rotations, still=False)


def _register(a: _Cloud, b: _Cloud, *, cap: float, planar: bool, rotations: int, still: bool) -> Rigid:
    fewest = min(len(a.points), len(b.points))
    if fewest < 2:  # one nucleus cannot tell its own motion from the embryo's
        return Rigid.identity()
    at_rest = _match(a, b, Rigid.identity(), cap)
    best = _Fit(Rigid.identity(), at_rest.score, at_rest.core)
    # A fit of six numbers takes this share of any residual with it; a motion must explain more than that.
    free = max(0.0, 1 - 2 / fewest)
    needed = _GAIN * free * best.score
    explained = _EXPLAINED * min(1.0, fewest / _MANY)
    for start in _small_motions(a, b, cap):
        fit = _refine(a, b, start, cap=cap, planar=planar)
        if fit.score < best.score and fit.score <= needed:
            best = fit
        if still or best.core <= explained or fewest < 4:
            return best.motion
    if fewest >= _MANY and best.core <= _OF_CHANCE * _chance(a, b, cap=cap, planar=planar):
        return best.motion
    wide = _search(a, b, cap=cap, planar=planar, rotations=rotations)
    better = wide.score <= _TWICE * free * best.score or wide.core <= _TWICE**2 * free * best.core
    believed = wide.core <= _BELIEVED and better
    return wide.motion if believed else best.motion


def _small_motions(a: _Cloud, b: _Cloud, cap: float) -> Iterator[Rigid]:
    yield Rigid.identity()
    yield Rigid(np.eye(3), b.points[:, :3].mean(axis=0) - a.points[:, :3].mean(axis=0))
    yield Rigid(np.eye(3), _agreed_shift(a, b, cap))


def _agreed_shift(a: _Cloud, b: _Cloud, cap: float) -> Floats:
    """Shift (z, y, x) that most pairs of nuclei of like volume agree on."""
    rows_a, rows_b = a.sample[:: max(1, len(a.sample) // 64)], b.sample
    shifts = (b.points[rows_b][None] - a.points[rows_a][:, None]).reshape(-1, 4)
    tree = cKDTree(shifts)
    near = 0.35 * cap
    votes = np.where(np.abs(shifts[:, 3]) < near, tree.query_ball_point(shifts, near, return_length=True), 0)
    winner = int(np.argmax(votes))
    agreeing = np.sort(np.array(tree.query_ball_point(shifts[winner], near), dtype=np.int64))
    return np.asarray(shifts[agreeing, :3].mean(axis=0), dtype=np.float64)


def _chance(a: _Cloud, b: _Cloud, *, cap: float, planar: bool) -> float:
    """How well turns fit that have nothing to do with the motion: the median of `_Fit.core`."""
    starts = _turned_starts(a, b, planar_grid(_CHANCES) if planar else rotation_grid(_CHANCES))
    fits = [_refine(a, b, start, cap=cap, planar=planar, steps=_CHANCE_STEPS) for start in starts]
    return float(np.median([fit.core for fit in fits]))


def _turned_starts(a: _Cloud, b: _Cloud, turns: Floats) -> list[Rigid]:
    """Motions that turn about the centroid and bring it onto the other."""
    centre_a, centre_b = a.points[:, :3].mean(axis=0), b.points[:, :3].mean(axis=0)
    return [Rigid(turn, centre_b - turn @ centre_a) for turn in turns]


def _search(a: _Cloud, b: _Cloud, *, cap: float, planar: bool, rotations: int) -> _Fit:
    """Try rotations all over: rank them by how near each nucleus lands to one of like volume, refine the best."""
    grid = planar_grid(min(rotations, _PLANAR_TURNS)) if planar else rotation_grid(rotations)
    rows = a.sample[:: max(1, len(a.sample) // 64)]
    centre_a, centre_b = a.points[:, :3].mean(axis=0), b.points[:, :3].mean(axis=0)
    landed = np.empty((len(grid), len(rows), 4))
    landed[..., :3] = np.einsum("kij,nj->kni", grid, a.points[rows, :3] - centre_a) + centre_b
    landed[..., 3] = a.points[rows, 3]
    distance, _ = b.tree.query(landed.reshape(-1, 4), distance_upper_bound=cap)
    ranking = np.minimum(np.asarray(distance).reshape(len(grid), -1), cap) ** 2
    refined = max(_LEAST_REFINED, min(_REFINED, _REFINED_NUCLEI // len(a.points)))
    chosen = np.argsort(ranking.mean(axis=1), kind="stable")[:refined]
    starts = _turned_starts(a, b, grid[chosen])
    rough = [_refine(a, b, start, cap=cap, planar=planar, steps=_ROUGH_STEPS) for start in starts]
    leading = sorted(rough, key=lambda fit: fit.score)[:_LEADING]
    return min((_refine(a, b, fit.motion, cap=cap, planar=planar) for fit in leading), key=lambda fit: fit.score)


def _refine(a: _Cloud, b: _Cloud, motion: Rigid, *, cap: float, planar: bool, steps: int = _STEPS) -> _Fit:
    """Match and fit in turn until the matches repeat; the first match reaches further than the cap."""
    turning = min(len(a.points), len(b.points)) >= 4
    before: _Matches | None = None
    for step in range(steps):
        found = _match(a, b, motion, cap if step else 3 * cap)
        if before is not None and np.array_equal(found.a, before.a) and np.array_equal(found.b, before.b) and step > 1:
            return _Fit(motion, found.score, found.core)
        if not len(found.a):
            break
        before = found
        from_a, to_b = a.points[found.a, :3], b.points[found.b, :3]
        if turning and len(found.a) >= 4:
            motion = kabsch(from_a, to_b, planar=planar)
        else:
            motion = Rigid(motion.rotation, (to_b - from_a @ motion.rotation.T).mean(axis=0))
    final = _match(a, b, motion, cap)
    return _Fit(motion, final.score, final.core)


def _match(a: _Cloud, b: _Cloud, motion: Rigid, cap: float) -> _Matches:
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
    core = shares[: max(1, math.ceil(_CORE * expected))]
    return _Matches(rows_a[near], rows_b[near], float(shares.mean()), float(core.mean()))


def _moved(motion: Rigid, points: Floats) -> Floats:
    return np.column_stack([motion.apply(points[:, :3]), points[:, 3]])


def _cloud(position: Floats, volume: Floats, cap: float) -> _Cloud:
    points = np.column_stack([position, np.log(volume) * (_DOUBLING * cap / np.log(2))])
    count = min(len(points), _SAMPLE)
    sample = np.arange(count, dtype=np.int64) * len(points) // max(count, 1)
    return _Cloud(points, cKDTree(points), sample)


def _overlapping_share(objects: Objects, overlaps: Overlaps) -> Floats:
    """Share of nuclei of each frame, or of the next if those are fewer, that overlap one of the next; (frames,)."""
    rows = np.unique(overlaps.a[overlaps.iou >= _OVERLAP_IOU])
    found = np.bincount(objects.t[rows] - objects.first, minlength=objects.frames)
    counts = np.diff(objects.starts)
    fewest = np.minimum(counts, np.append(counts[1:], 0))
    return np.asarray(found / np.maximum(fewest, 1), dtype=np.float64)
