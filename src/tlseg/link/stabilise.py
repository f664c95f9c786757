"""Take the embryo's own motion out of a whole movie, so that what is left is how nuclei move within it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tlseg.link.clouds import cloud_of
from tlseg.link.motions import Growth, Rigid
from tlseg.link.objects import Floats, Ints, Objects, Overlaps
from tlseg.link.register import register
from tlseg.link.settings import LinkSettings

# Distance beyond which two nuclei do not match, in median radii; also the unit of the score.
_CAP_RADII = 3.0
# Overlaps of this IoU in three quarters of the nuclei say that nothing moved far.
_OVERLAP_IOU, _OVERLAP_SHARE = 0.3, 0.75


@dataclass(frozen=True, slots=True)
class Stabilised:
    """Positions with the embryo's own motion taken out.

    Parameters
    ----------
    position_um
        Centroids in the coordinates of the first frame, shape (n, 3).
    moved_um
        How far the motion to the next frame moves each nucleus, shape (n,); 0 in the last frame.
    to_first
        Motion from each frame, counted from `Objects.first`, to the first; empty where none was taken out.
    growth
        Frames, counted likewise, after which the embryo swells or shrinks, and how, in the coordinates of the first frame.
    """

    position_um: Floats
    moved_um: Floats
    to_first: tuple[Rigid, ...] = ()
    growth: Mapping[int, Growth] = field(default_factory=dict)

    def in_frame(self, frame: int, points: Floats) -> Floats:
        """Stabilised points (n, 3) where they lie in a frame, counted from `Objects.first`."""
        return self.to_first[frame].inverse().apply(points) if self.to_first else points

    def later(self, points: Floats, since: int | Ints, until: int | Ints) -> Floats:
        """Where what is at rest within the embryo comes to lie: the same place, unless the embryo swells or shrinks.

        Parameters
        ----------
        points
            Stabilised places, shape (n, 3).
        since, until
            Frames they are of, and later ones, counted from `Objects.first`; one for all points or shape (n,).
        """
        if not self.growth:
            return points
        moved = points.copy()
        since, until = (np.broadcast_to(frames, len(points)) for frames in (since, until))
        for frame in sorted(self.growth):
            passed = np.flatnonzero((since <= frame) & (frame < until))
            moved[passed] = self.growth[frame].apply(moved[passed])
        return moved


def stabilise(objects: Objects, overlaps: Overlaps, *, settings: LinkSettings) -> Stabilised:
    """Take the motion of the whole embryo between frames out of all positions.

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
        Positions that a nucleus at rest within the embryo keeps from frame to frame. They keep their scale: an embryo that
        shrinks is smaller afterwards.
    """
    position, moved = objects.position_um.copy(), np.zeros(len(objects))
    if not settings.register or objects.frames < 2:
        return Stabilised(position, moved)
    cap = _CAP_RADII * float(np.median(objects.radius_um))
    overlapping = _overlapping_share(objects, overlaps)
    to_first = Rigid.identity()
    motions, growth = [], {}
    last, cloud = -1, None
    for frame in range(objects.frames):
        rows = objects.rows(frame)
        if rows.start == rows.stop:
            motions.append(to_first)
            continue
        following = cloud_of(objects.position_um[rows], objects.volume_um3[rows], cap)
        if cloud is not None:
            adjacent = last == frame - 1
            motion = register(
                cloud,
                following,
                cap=cap,
                planar=objects.is_planar,
                rotations=settings.rotations,
                still=adjacent and bool(overlapping[last] >= _OVERLAP_SHARE),
            )
            before = objects.rows(last)
            here = objects.position_um[before]
            if motion.growth.factor != 1:
                growth[last] = motion.growth.seen_after(to_first)
            moved[before] = np.linalg.norm(motion.apply(here) - here, axis=1)
            to_first = to_first.after(motion.rigid.inverse())
        position[rows] = to_first.apply(objects.position_um[rows])
        motions.append(to_first)
        last, cloud = frame, following
    return Stabilised(position, moved, tuple(motions), growth)


def _overlapping_share(objects: Objects, overlaps: Overlaps) -> Floats:
    """Share of nuclei of each frame, or of the next if those are fewer, that overlap one of the next; (frames,)."""
    rows = np.unique(overlaps.a[overlaps.iou >= _OVERLAP_IOU])
    found = np.bincount(objects.t[rows] - objects.first, minlength=objects.frames)
    counts = np.diff(objects.starts)
    fewest = np.minimum(counts, np.append(counts[1:], 0))
    return np.asarray(found / np.maximum(fewest, 1), dtype=np.float64)
