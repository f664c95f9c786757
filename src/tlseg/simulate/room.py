"""What holds the nuclei: an egg, a blastocyst with its cavity, or a sheet.

A room only bends positions back; who gives way to whom among the nuclei is settled elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tlseg.simulate.embryo import Embryo, cavity_axis
from tlseg.simulate.settings import SimulationSettings

Floats = NDArray[np.float64]

_BULGE = 1.1  # how far out, in half axes of the room, the centre of a nucleus may be pushed by others
_TAPER = 0.12  # how much narrower than an ellipsoid the egg is at its pointed end
_WIDENING = 0.12  # growth of the egg's half axes while the cavity opens
_CAVITY = (0.2, 0.76)  # centre and radius of an open cavity, in half axes of the egg
_YIELD = 0.5  # share of its depth in the cavity that a nucleus gives way in a step
_LAYER = 0.4  # how far from the middle of a sheet, in radii, a nucleus may be


class Room(Protocol):
    """Where nuclei may be. Positions (n, 3) are micrometres in packing space, from the middle of the room."""

    @property
    def half_um(self) -> Floats:
        """Half axes (z, y, x)."""

    @property
    def packed_axes(self) -> Floats:
        """1 along axes in which nuclei spread out, 0 along those in which they lie in one layer."""

    @property
    def filled(self) -> float:
        """Share of the room that nuclei may fill."""

    def confine(self, position: Floats, inset: Floats) -> Floats:
        """Bring back nuclei that are nearer to the wall than `inset` (n,) micrometres."""

    def make_way(self, position: Floats) -> Floats:
        """Move nuclei away from where there should be none, a little."""

    def wall(self, position: Floats) -> Floats:
        """How much each nucleus is pressed flat against the wall, 0 to 1."""

    def holds(self, position: Floats) -> bool:
        """Whether all centres are inside, or bulge out no more than they may."""


@dataclass(frozen=True, slots=True, eq=False)
class Egg:
    """An egg, with a cavity of which the share `open` is there; `axis` points into it."""

    half_um: Floats
    packed_axes: Floats
    open: float
    axis: Floats

    @property
    def filled(self) -> float:
        """All but the cavity."""
        return 1 - _CAVITY[1] ** 3 * self.open

    def confine(self, position: Floats, inset: Floats) -> Floats:
        """Bring nuclei that stick out of the egg back inside it."""
        inner = np.maximum(self.half_um - inset[:, None], 0.1)
        taper = 1 - _TAPER * np.clip(position[:, 2:] / self.half_um[2], -1, 1)
        inner = inner * np.concatenate([taper, taper, np.ones_like(taper)], axis=1)
        beyond = np.linalg.norm(position / inner, axis=1)
        confined: Floats = position / np.maximum(1.0, beyond)[:, None]
        return confined

    def make_way(self, position: Floats) -> Floats:
        """Move nuclei out of the cavity."""
        if not self.open:
            return position
        far, wide = _CAVITY
        off = position / self.half_um - self.axis * far
        depth = np.linalg.norm(off, axis=1, keepdims=True)
        share = _YIELD * np.maximum(0.0, wide * self.open ** (1 / 3) / np.maximum(depth, 1e-9) - 1)
        moved: Floats = position + off * share * self.half_um
        return moved

    def wall(self, position: Floats) -> Floats:
        """Nuclei far from the middle lie flat, those at the pole of the inner cell mass less so."""
        off = position / self.half_um + self.axis * 0.25
        rise = np.clip((np.linalg.norm(off, axis=1) - 0.6) / 0.3, 0, 1)
        flat: Floats = self.open * rise**2 * (3 - 2 * rise)
        return flat

    def holds(self, position: Floats) -> bool:
        """Whether no centre is pushed through the wall."""
        return bool(np.linalg.norm(position * self.packed_axes / self.half_um, axis=1).max() <= _BULGE)


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """One layer of nuclei across the frame."""

    half_um: Floats
    packed_axes: Floats

    @property
    def filled(self) -> float:
        """All of it."""
        return 1.0

    def confine(self, position: Floats, inset: Floats) -> Floats:
        """Bring nuclei back into the layer, and into the frame."""
        inner = np.repeat(self.half_um[None], len(position), axis=0)
        inner[:, 0] = _LAYER * inset
        confined: Floats = np.clip(position, -inner, inner)
        return confined

    def make_way(self, position: Floats) -> Floats:
        """A sheet has no cavity."""
        return position

    def wall(self, position: Floats) -> Floats:
        """Nothing presses the nuclei of a sheet."""
        return np.zeros(len(position))

    def holds(self, position: Floats) -> bool:
        """Whether no centre is pushed far out of the frame."""
        return bool((np.abs(position[:, 1:]) / self.half_um[1:]).max() <= _BULGE)


def room_of(embryo: Embryo, *, settings: SimulationSettings) -> Room:
    """The room of an embryo in one frame, in packing space: z divided by the nuclei's stretch."""
    half = np.array(settings.egg_um) / np.array([settings.axial_stretch, 1.0, 1.0])
    flat = settings.shape[0] == 1 or settings.room == "sheet"
    packed = np.array([0.0 if flat else 1.0, 1.0, 1.0])
    if settings.room == "sheet":
        return Sheet(half, packed)
    return Egg(half * (1 + _WIDENING * embryo.cavity), packed, embryo.cavity, cavity_axis(embryo, settings=settings))
