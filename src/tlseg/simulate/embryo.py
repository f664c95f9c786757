"""The embryo as a whole: where it is, how it is turned, how far its cavity has opened.

It changes from frame to frame by random numbers keyed by frame, and by how many nuclei there are; never by what comes
later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tlseg.simulate.settings import Draw, SimulationSettings
from tlseg.simulate.shape import Ellipsoid

Floats = NDArray[np.float64]

_RETURN = 0.98  # share of its distance from the middle of the frame that an embryo keeps to the next
_OPENING = 1.0  # cell cycles that a cavity takes to open
_POLAR_RADIUS = (0.22, 0.34)  # of a two-cell nucleus
_POLAR_GLOW = (0.35, 0.9)  # beside a two-cell nucleus


@dataclass(frozen=True, slots=True, eq=False)
class Embryo:
    """The embryo in one frame.

    Attributes
    ----------
    offset_um : ndarray, (3,)
        From the middle of the frame to the middle of the egg.
    turn, step : ndarray, (3, 3)
        Rotation of (z, y, x) since the first frame, and since the frame before.
    cavity : float
        0 while it is closed, 1 when it is wide open.
    """

    offset_um: Floats
    turn: Floats
    step: Floats
    cavity: float


@dataclass(frozen=True, slots=True, eq=False)
class Speck:
    """A bright body that is not a nucleus: where (z, y, x, micrometres from voxel 0), what form, how bright."""

    centre_um: Floats
    form: Ellipsoid
    glow: float


def first_embryo() -> Embryo:
    """An embryo in the middle of the frame, not turned, its cavity closed."""
    return Embryo(np.zeros(3), np.eye(3), np.eye(3), 0.0)


def next_embryo(before: Embryo, t: int, nuclei: int, *, settings: SimulationSettings) -> Embryo:
    """The embryo in frame `t` of so many `nuclei`, given the one of the frame before.

    It wanders around the middle of the frame, turns a little, and now and then jumps.
    """
    rng = settings.rng(Draw.EMBRYO, t)
    free = free_axes(settings)
    offset = _RETURN * before.offset_um + rng.normal(size=3) * settings.drift_um * free
    step = Rotation.from_rotvec(
        _about(rng.normal(size=3), settings) * math.radians(settings.rotation_deg) / math.sqrt(3)
    )
    jump = settings.rng(Draw.JUMP, t)
    if jump.random() < settings.jump_chance:
        shift, axis = jump.normal(size=3) * free, _about(jump.normal(size=3), settings)
        far, wide = jump.uniform(0.5, 1, 2)
        offset = offset + shift / np.linalg.norm(shift) * far * settings.jump_um
        step = Rotation.from_rotvec(axis / np.linalg.norm(axis) * wide * math.radians(settings.jump_deg)) * step
    matrix: Floats = step.as_matrix()
    opens = settings.cavity_nuclei is not None and nuclei >= settings.cavity_nuclei
    cavity = before.cavity + (1 / (_OPENING * settings.cycle_frames) if opens or before.cavity else 0.0)
    return Embryo(offset, matrix @ before.turn, matrix, min(1.0, cavity))


def free_axes(settings: SimulationSettings) -> Floats:
    """1 along axes where nuclei have room to move, 0 along z in a movie of one plane."""
    return np.array([0.0 if settings.shape[0] == 1 else 1.0, 1.0, 1.0])


def cavity_axis(embryo: Embryo, *, settings: SimulationSettings) -> Floats:
    """Unit vector (z, y, x) from the inner cell mass to the cavity."""
    axis = settings.rng(Draw.CAVITY).normal(size=3) * free_axes(settings)
    unit: Floats = embryo.turn @ (axis / np.linalg.norm(axis))
    return unit


def polar_bodies(embryo: Embryo, *, settings: SimulationSettings) -> tuple[Speck, ...]:
    """The polar bodies: they lie side by side against the egg and turn with it."""
    middle = (np.array(settings.shape) - 1) / 2 * np.array(settings.spacing_um) + embryo.offset_um
    pole = settings.rng(Draw.POLAR_BODY).normal(size=3)
    specks = []
    for number in range(settings.polar_bodies):
        rng = settings.rng(Draw.POLAR_BODY, number + 1)
        direction = (pole / np.linalg.norm(pole) + 0.2 * rng.normal(size=3)) * free_axes(settings)
        direction = embryo.turn @ (direction / np.linalg.norm(direction))
        radius = settings.radius_at(1) / settings.axial_stretch ** (1 / 3) * rng.uniform(*_POLAR_RADIUS)
        form = Ellipsoid((radius, radius, radius * rng.uniform(0.7, 1)), np.eye(3), settings.axial_stretch)
        glow = rng.uniform(*_POLAR_GLOW)
        specks.append(Speck(middle + direction * np.array(settings.egg_um), form.turned(embryo.turn), glow))
    return tuple(specks)


def _about(vector: Floats, settings: SimulationSettings) -> Floats:
    """A rotation vector; where all lies in one layer it turns in that."""
    if settings.shape[0] == 1 or settings.room == "sheet":
        vector[1:] = 0.0
    return vector
