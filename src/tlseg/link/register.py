"""Find how the whole embryo moved between two frames: rigidly, and where it must be, after swelling or shrinking.

Starts are tried from the likeliest to the widest - no motion, the shift of the centroid, the shift most pairs agree
on, the same after a change of size, every rotation of a fixed grid - and the first that explains the pair ends the search,
so the costly ones run only where small motion fails: where it fits no better than turns that are certainly wrong. Each
start is refined by iterative closest points (`tlseg.link.clouds`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from tlseg.link.clouds import Cloud, Fit, match, refine
from tlseg.link.motions import Growth, Motion, Rigid, planar_grid, rotation_grid
from tlseg.link.objects import Floats

# A motion explains a pair of frames when the better three quarters of the nuclei (others divide or are missed) have
# a mean squared residual of at most this share of the cap squared: a root mean square of 0.4 radii. Few nuclei fit a
# wrong motion more easily (eight in an embryo are nearly symmetric), so below _MANY it is less in proportion.
_EXPLAINED, _MANY = 0.02, 32
# Where nuclei wander on their own no motion fits that well, and then it explains a pair when it fits this much better than
# chance: than the median of a few turns from all over, each matched and fitted in so many steps. In balls of 50 to 1000
# nuclei that wandered by up to 0.7 radii, right motions had 0.006 to 0.21 of chance, wrong ones 0.60 and more. Fewer nuclei
# than _MANY fit wrong turns too well for that.
_OF_CHANCE, _CHANCES, _CHANCE_STEPS = 0.3, 9, 3
# A rotation found by the wide search must be good by itself (same measure), and either twice as good as small motion
# over all nuclei or four times as good over the better three quarters; a change of size must be all of that.
_BELIEVED, _TWICE = 0.08, 0.5
# Share of the residual at rest that may remain under a small motion, before what its own freedom takes off: where half
# of the nuclei divide, fitting one daughter of each turns an embryo that lies still.
_GAIN = 0.75
# A change of size is looked for between so many nuclei if their spread differs by more than the first factor and, as that
# of a blastocyst that collapses, by no more than the second; its factor is refined in so many steps.
_FEWEST_RESIZED, _LEAST_GROWTH, _MOST_GROWTH, _GROWTH_STEPS = 8, 1.06, 1.7, 4
# Starts of the wide search that are refined: fewer the more nuclei there are, since more nuclei rank starts better.
_REFINED, _LEAST_REFINED, _REFINED_NUCLEI = 512, 32, 4096
# Steps of matching and fitting: roughly for all of them, to the end for those that lead then.
_ROUGH_STEPS, _LEADING = 3, 32
_PLANAR_TURNS = 360


def register(a: Cloud, b: Cloud, *, cap: float, planar: bool, rotations: int, still: bool = False) -> Motion:
    """Motion that brings the nuclei of one frame onto those of another.

    Parameters
    ----------
    a, b
        Nuclei of the earlier and the later frame.
    cap
        Distance in micrometres beyond which nuclei do not match.
    planar
        Turn about the z axis only.
    rotations
        Rotations tried where small motion fails.
    still
        Nothing moved far: try small motion only.
    """
    fewest = min(len(a.points), len(b.points))
    same_size = Growth.none()
    if fewest < 2:  # one nucleus cannot tell its own motion from the embryo's
        return Motion(Rigid.identity(), same_size)
    best = _at_rest(a, b, cap)
    # A fit of six numbers takes this share of any residual with it; a motion must explain more than that.
    free = max(0.0, 1 - 2 / fewest)
    needed = _GAIN * free * best.score
    explained = _EXPLAINED * min(1.0, fewest / _MANY)
    for start in _small_motions(a, b, cap):
        fit = refine(a, b, start, cap=cap, planar=planar)
        if fit.score < best.score and fit.score <= needed:
            best = fit
        if still or best.trimmed <= explained or fewest < 4:
            return Motion(best.motion, same_size)
    growth = _growth(a, b)
    if growth is not None:
        fit, grown = _resize(a, b, growth, cap=cap, planar=planar)
        if fit.trimmed <= explained and _clearly_better(fit, best, free):
            return Motion(fit.motion, grown)
    if fewest >= _MANY and best.trimmed <= _OF_CHANCE * _chance(a, b, cap=cap, planar=planar):
        return Motion(best.motion, same_size)
    wide = _search(a, b, cap=cap, planar=planar, rotations=rotations)
    better = wide.score <= _TWICE * free * best.score or wide.trimmed <= _TWICE**2 * free * best.trimmed
    if wide.trimmed <= _BELIEVED and better:
        best = wide
    if growth is not None and best.trimmed > explained:
        turned = _search(a.resized(growth), b, cap=cap, planar=planar, rotations=rotations)
        fit, grown = _resize(a, b, growth, cap=cap, planar=planar, start=turned.motion)
        if fit.trimmed <= _BELIEVED and _clearly_better(fit, best, free):
            return Motion(fit.motion, grown)
    return Motion(best.motion, same_size)


def _clearly_better(fit: Fit, than: Fit, free: float) -> bool:
    """Whether a fit with a change of size is so much better than one without that it must have changed."""
    return fit.score <= _TWICE * free * than.score and fit.trimmed <= _TWICE**2 * free * than.trimmed


def _growth(a: Cloud, b: Cloud) -> Growth | None:
    """Change of size that the spread of the nuclei tells; None if there are too few, or it is small or impossible."""
    if min(len(a.points), len(b.points)) < _FEWEST_RESIZED:
        return None
    factor = _widening(a.points, b.points)
    if not _LEAST_GROWTH <= max(factor, 1 / factor) <= _MOST_GROWTH:
        return None
    return Growth(factor, a.points[:, :3].mean(axis=0))


def _widening(a: Floats, b: Floats) -> float:
    """How much further the places `b` spread from their centroid than `a` from theirs; 1 if either are all the same."""
    before, after = (float(np.sqrt(points[:, :3].var(axis=0).sum())) for points in (a, b))
    return after / before if before > 0 and after > 0 else 1.0


def _resize(
    a: Cloud, b: Cloud, growth: Growth, *, cap: float, planar: bool, start: Rigid | None = None
) -> tuple[Fit, Growth]:
    """Fit a rigid motion and the change of size before it in turn, from a start or from the best small motion."""
    resized = a.resized(growth)
    starts = _small_motions(resized, b, cap) if start is None else [start]
    fit = min((refine(resized, b, one, cap=cap, planar=planar) for one in starts), key=lambda fit: fit.score)
    best = fit, growth
    for _ in range(_GROWTH_STEPS):
        found = match(resized, b, fit.motion, cap)
        if len(found.a) < _FEWEST_RESIZED:
            break
        growth = growth.times(_widening(resized.points[found.a], b.points[found.b]))
        resized = a.resized(growth)
        fit = refine(resized, b, fit.motion, cap=cap, planar=planar)
        if fit.score < best[0].score:
            best = fit, growth
    return best


def _at_rest(a: Cloud, b: Cloud, cap: float) -> Fit:
    found = match(a, b, Rigid.identity(), cap)
    return Fit(Rigid.identity(), found.score, found.trimmed)


def _small_motions(a: Cloud, b: Cloud, cap: float) -> Iterator[Rigid]:
    yield Rigid.identity()
    yield Rigid(np.eye(3), b.points[:, :3].mean(axis=0) - a.points[:, :3].mean(axis=0))
    yield Rigid(np.eye(3), _agreed_shift(a, b, cap))


def _agreed_shift(a: Cloud, b: Cloud, cap: float) -> Floats:
    """Shift (z, y, x) that most pairs of nuclei of like volume agree on."""
    rows_a, rows_b = a.sample[:: max(1, len(a.sample) // 64)], b.sample
    shifts = (b.points[rows_b][None] - a.points[rows_a][:, None]).reshape(-1, 4)
    tree = cKDTree(shifts)
    near = 0.35 * cap
    votes = np.where(np.abs(shifts[:, 3]) < near, tree.query_ball_point(shifts, near, return_length=True), 0)
    winner = int(np.argmax(votes))
    agreeing = np.sort(np.array(tree.query_ball_point(shifts[winner], near), dtype=np.int64))
    return np.asarray(shifts[agreeing, :3].mean(axis=0), dtype=np.float64)


def _chance(a: Cloud, b: Cloud, *, cap: float, planar: bool) -> float:
    """How well turns fit that have nothing to do with the motion: the median of `Fit.trimmed`."""
    starts = _turned_starts(a, b, planar_grid(_CHANCES) if planar else rotation_grid(_CHANCES))
    fits = [refine(a, b, start, cap=cap, planar=planar, steps=_CHANCE_STEPS) for start in starts]
    return float(np.median([fit.trimmed for fit in fits]))


def _turned_starts(a: Cloud, b: Cloud, turns: Floats) -> list[Rigid]:
    """Motions that turn about the centroid and bring it onto the other."""
    centre_a, centre_b = a.points[:, :3].mean(axis=0), b.points[:, :3].mean(axis=0)
    return [Rigid(turn, centre_b - turn @ centre_a) for turn in turns]


def _search(a: Cloud, b: Cloud, *, cap: float, planar: bool, rotations: int) -> Fit:
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
    rough = [refine(a, b, start, cap=cap, planar=planar, steps=_ROUGH_STEPS) for start in starts]
    leading = sorted(rough, key=lambda fit: fit.score)[:_LEADING]
    return min((refine(a, b, fit.motion, cap=cap, planar=planar) for fit in leading), key=lambda fit: fit.score)
