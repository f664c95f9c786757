"""Motions of a whole embryo: the best rigid one between matched points, and a fixed, even grid of rotations to start from.

The grid is a formula, not a random draw, so registration repeats bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlseg.link.objects import Floats

# Constants of the super-Fibonacci spiral on the 3-sphere (Alexa 2022, "Super-Fibonacci Spirals", section 4).
_PHI = np.sqrt(2.0)
_PSI = 1.533751168755204288118041


@dataclass(frozen=True, slots=True)
class Rigid:
    """A rigid motion `p -> rotation @ p + shift` of points (z, y, x).

    Parameters
    ----------
    rotation
        Proper rotation, shape (3, 3).
    shift
        Translation in micrometres, shape (3,).
    """

    rotation: Floats
    shift: Floats

    @classmethod
    def identity(cls) -> Rigid:
        """Motion that leaves everything in place."""
        return cls(np.eye(3), np.zeros(3))

    def apply(self, points: Floats) -> Floats:
        """Move points of shape (n, 3)."""
        return points @ self.rotation.T + self.shift

    def inverse(self) -> Rigid:
        """Motion that undoes this one."""
        return Rigid(self.rotation.T, -self.rotation.T @ self.shift)

    def after(self, earlier: Rigid) -> Rigid:
        """One motion that does `earlier` and then this one."""
        return Rigid(self.rotation @ earlier.rotation, self.rotation @ earlier.shift + self.shift)


@dataclass(frozen=True, slots=True)
class Growth:
    """A change of size, `p -> centre + factor (p - centre)` of points (z, y, x)."""

    factor: float
    centre: Floats

    @classmethod
    def none(cls) -> Growth:
        """No change."""
        return cls(1.0, np.zeros(3))

    def apply(self, points: Floats) -> Floats:
        """Move points of shape (n, 3)."""
        return points if self.factor == 1.0 else self.centre + self.factor * (points - self.centre)

    def seen_after(self, motion: Rigid) -> Growth:
        """The same change in the coordinates that a rigid motion leads to."""
        return Growth(self.factor, motion.apply(self.centre[None])[0])

    def times(self, factor: float) -> Growth:
        """Change further, about the same centre."""
        return Growth(self.factor * factor, self.centre)


@dataclass(frozen=True, slots=True)
class Motion:
    """How an embryo changes from one frame to the next: it swells or shrinks, then moves rigidly."""

    rigid: Rigid
    growth: Growth

    def apply(self, points: Floats) -> Floats:
        """Move points of shape (n, 3)."""
        return self.rigid.apply(self.growth.apply(points))


def kabsch(a: Floats, b: Floats, *, planar: bool) -> Rigid:
    """Rigid motion with the least squared distance from `a` to `b` (Kabsch 1976).

    Parameters
    ----------
    a, b
        Matched points, shape (n, 3), n >= 1. Fewer than 3 (2 in a plane) give a translation only.
    planar
        Turn about the z axis only, for 2D movies: points of one plane do not tell a turn from a mirror image.
    """
    centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
    rotation = np.eye(3)
    axes = slice(1, 3) if planar else slice(0, 3)
    if len(a) >= (2 if planar else 3):
        u, _, vt = np.linalg.svd((a - centre_a)[:, axes].T @ (b - centre_b)[:, axes])
        mirror = np.ones(len(u))
        mirror[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
        rotation[axes, axes] = (vt.T * mirror) @ u.T
    return Rigid(rotation, centre_b - rotation @ centre_a)


def rotation_grid(count: int) -> Floats:
    """Rotations spread evenly over SO(3), shape (count, 3, 3): super-Fibonacci spirals (Alexa 2022)."""
    s = np.arange(count) + 0.5
    t, d = s / count, 2 * np.pi * s
    r, big = np.sqrt(t), np.sqrt(1 - t)
    x, y, z, w = r * np.sin(d / _PHI), r * np.cos(d / _PHI), big * np.sin(d / _PSI), big * np.cos(d / _PSI)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), -1, 0)


def planar_grid(count: int) -> Floats:
    """Rotations about the z axis only, evenly spaced, shape (count, 3, 3)."""
    angle = 2 * np.pi * np.arange(count) / count
    grid = np.zeros((count, 3, 3))
    grid[:, 0, 0] = 1
    grid[:, 1, 1] = grid[:, 2, 2] = np.cos(angle)
    grid[:, 1, 2], grid[:, 2, 1] = -np.sin(angle), np.sin(angle)
    return grid
