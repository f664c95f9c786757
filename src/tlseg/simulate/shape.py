"""What form a nucleus has, and which voxels it fills.

A nucleus is an ellipsoid; a voxel belongs to it exactly when its centre lies inside. So the truth is known without
drawing, and labels, volumes and positions cannot disagree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box, Shape, Spacing, triple
from tlseg.simulate.lineage import Track
from tlseg.simulate.settings import Draw, SimulationSettings

Floats = NDArray[np.float64]

# Half axes in units of the resting radius (along the division axis, across, across) and brightness of a nucleus that
# condenses, forms the plate, separates and relaxes. Volume times brightness stays within 20 %: chromatin is conserved.
_PROPHASE = ((0.85, 0.95, 0.95), 1.25)
_PLATE = ((0.45, 1.0, 1.0), 2.0)
_ANAPHASE = ((0.62, 0.9, 0.9), 1.8)
_TELOPHASE = ((0.85, 0.95, 0.95), 1.25)


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """One nucleus at one moment.

    Attributes
    ----------
    half_axes_um : tuple of float
        Half axes before the stretch along z.
    frame : ndarray, (3, 3)
        Rows are the directions (z, y, x) of the half axes.
    stretch : float
        Lengthening along z.
    """

    half_axes_um: Spacing
    frame: Floats
    stretch: float

    @property
    def reach_um(self) -> float:
        """Radius of the sphere around the nucleus before the stretch along z."""
        return max(self.half_axes_um)

    @property
    def volume_um3(self) -> float:
        """Exact volume, cubic micrometres."""
        return 4 / 3 * math.pi * math.prod(self.half_axes_um) * self.stretch

    @property
    def to_unit(self) -> Floats:
        """Matrix (3, 3) from micrometres (z, y, x) off the centre to where the nucleus is the unit ball."""
        rows: Floats = self.frame / np.array(self.half_axes_um)[:, None]
        rows /= np.array([self.stretch, 1.0, 1.0])
        return rows

    @property
    def bounds_um(self) -> Floats:
        """Half extents (z, y, x) of the smallest axis-parallel box around the nucleus, micrometres."""
        bounds: Floats = np.sqrt((np.linalg.inv(self.to_unit) ** 2).sum(axis=1))
        return bounds

    def shrunk(self, *, along_z: float, across: float) -> Ellipsoid:
        """Return the same nucleus with these shares of its length along z and of its width."""
        a, b, c = (h * across for h in self.half_axes_um)
        return Ellipsoid((a, b, c), self.frame, self.stretch * along_z / across)

    def turned(self, rotation: Floats) -> Ellipsoid:
        """Return the same nucleus turned by a rotation matrix (3, 3) of (z, y, x)."""
        return Ellipsoid(self.half_axes_um, self.frame @ rotation.T, self.stretch)

    def flattened(self, normal: Floats, share: float) -> Ellipsoid:
        """Return a nucleus of the same volume, `share` thinner along the unit vector `normal` (before the stretch)."""
        thin = 1 - share
        press = thin**-0.5 * np.eye(3) + (thin - thin**-0.5) * np.outer(normal, normal)
        # Columns are the half axes as vectors; pressed, they span the new ellipsoid, whose own axes are singular.
        directions, lengths, _ = np.linalg.svd(press @ (self.frame.T * np.array(self.half_axes_um)))
        a, b, c = (float(v) for v in lengths)
        return Ellipsoid((a, b, c), directions.T, self.stretch)


def nucleus_form(track: Track, t: int, *, settings: SimulationSettings) -> tuple[Ellipsoid, float]:
    """Shape of a nucleus in frame `t`, and its brightness in units of a two-cell nucleus.

    A nucleus rests as an ellipsoid of its own random form and grows, condenses, is a bright plate across the division
    axis in the frame before it divides, and its daughters begin flat and small.
    """
    radius = settings.radius_at(track.depth) / settings.axial_stretch ** (1 / 3)
    radius *= settings.growth ** ((_progress(track, t, settings) - 0.5) / 3)
    rng = settings.rng(Draw.FORM, track.number)
    ratios = np.clip(rng.normal(1, 0.1, 3), 0.8, 1.2)
    own = ratios / math.prod(ratios) ** (1 / 3)
    size, light = rng.normal(1, 0.04), rng.normal(1, 0.12)
    turn = _directions(rng.normal(size=3))
    phase = _phase(track, t)
    if phase is None:
        axes, frame, glow = own * np.clip(size, 0.9, 1.1), turn, 1.0
    else:
        (along, *across), glow, divider = phase
        axes, frame = np.array([along, *across]), _directions(division_axis(divider, settings=settings))
    a, b, c = (float(v) for v in axes * radius)
    glow *= settings.fade ** (track.depth - 1) * float(np.clip(light, 0.7, 1.3))
    return Ellipsoid((a, b, c), frame, settings.axial_stretch), glow


def division_axis(number: int, *, settings: SimulationSettings) -> Floats:
    """Unit vector (z, y, x) along which a nucleus divides, in the embryo's own frame; in one layer it lies in that."""
    vector = settings.rng(Draw.AXIS, number).normal(size=3)
    if settings.shape[0] == 1 or settings.room == "sheet":
        vector[0] = 0.0
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


def unit_coordinates(
    ellipsoid: Ellipsoid, centre_um: Floats, *, shape: Shape, spacing_um: Spacing, margin: float = 1.0
) -> tuple[Box, Floats]:
    """Return the voxels near a nucleus, seen from the nucleus.

    Parameters
    ----------
    ellipsoid : Ellipsoid
    centre_um : ndarray, (3,)
        Position (z, y, x) in micrometres; voxel (0, 0, 0) has its centre at the origin.
    shape : Shape
        Voxels of the frame (z, y, x).
    spacing_um : Spacing
    margin : float
        How far to look, in half axes.

    Returns
    -------
    box : Box
        Voxels of the frame around the nucleus; empty when it lies outside.
    unit : ndarray, (3, z, y, x)
        Coordinates of these voxels in which the nucleus is the unit ball.
    """
    reach = ellipsoid.bounds_um * margin
    low = [math.floor((c - r) / s) for c, r, s in zip(centre_um, reach, spacing_um, strict=True)]
    high = [math.ceil((c + r) / s) + 1 for c, r, s in zip(centre_um, reach, spacing_um, strict=True)]
    box = Box(triple(low), triple(high)).intersect(Box.of_shape(shape))
    if not box.size:
        return box, np.empty((3, 0, 0, 0))
    offsets = [np.arange(a, b) * s - c for a, b, s, c in zip(box.start, box.stop, spacing_um, centre_um, strict=True)]
    m = ellipsoid.to_unit
    z, y, x = offsets
    unit: Floats = (
        m[:, 0, None, None, None] * z[:, None, None]
        + m[:, 1, None, None, None] * y[:, None]
        + m[:, 2, None, None, None] * x
    )
    return box, unit


def fill_label(
    labels: NDArray[np.uint32], ellipsoid: Ellipsoid, centre_um: Floats, *, number: int, spacing_um: Spacing
) -> int:
    """Write `number` into the voxels of `labels` (z, y, x) whose centres the nucleus holds; return how many."""
    shape = triple(labels.shape)
    box, unit = unit_coordinates(ellipsoid, centre_um, shape=shape, spacing_um=spacing_um)
    if not box.size:
        return 0
    inside = (unit**2).sum(axis=0) <= 1
    labels[box.slices][inside] = number
    return int(inside.sum())


def _phase(track: Track, t: int) -> tuple[Spacing, float, int] | None:
    """Half axes, brightness and the nucleus that divides; nothing while the nucleus rests."""
    left, age = track.division - t, t - track.birth
    if left == 1:
        return (*_PLATE, track.number)
    if track.parent and age == 0:
        return (*_ANAPHASE, track.parent)
    if track.parent and age == 1:
        return (*_TELOPHASE, track.parent)
    if left == 2:
        return (*_PROPHASE, track.number)
    return None


def _progress(track: Track, t: int, settings: SimulationSettings) -> float:
    """Share of the cell cycle that is over, 0 to 1; nuclei of the first frame were born before it."""
    length = track.division - track.birth
    if not track.parent:
        length = max(length, round(settings.cycle_frames))
    return 1 - (track.division - t) / length


def _directions(first: Floats) -> Floats:
    """Orthonormal rows, the first along `first`."""
    first = first / np.linalg.norm(first)
    helper = np.eye(3)[int(np.argmin(np.abs(first)))]
    second = np.cross(first, helper)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])
