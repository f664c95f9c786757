"""What a simulated embryo looks like: one value holds every choice, so one value names one movie.

The defaults imitate BBBC050 (mouse embryos, Tokuoka et al. 2020): sizes, brightness, blur and noise were measured on
its pictures and its annotated nuclei, stage by stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Literal

import numpy as np

from tlseg.errors import TlsegError
from tlseg.geometry import Shape, Spacing
from tlseg.rules import (
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Rule,
    Share,
    at_least,
    check_fields,
    positive,
    three,
    two,
    whole,
)

RoomKind = Literal["egg", "sheet"]

SHORTEST_CYCLE = 4
"""Frames of the shortest cell cycle: two that condense, one that relaxes, one between."""


_MOUSE_RADIUS_UM = 12.0
_ROOMY = 0.34  # two-cell nucleus over egg, as in mouse embryos


class SimulationError(TlsegError, ValueError):
    """The simulation is asked for something impossible, such as more nuclei than the embryo holds."""


class Draw(IntEnum):
    """What a random number is for; each purpose has its own stream, so that one never disturbs another."""

    CYCLE = 1
    AXIS = 2
    FORM = 3
    TEXTURE = 4
    MOTION = 5
    EMBRYO = 6
    CAMERA = 7
    START = 8
    DENSE = 9
    JUMP = 10
    CAVITY = 11
    POLAR_BODY = 12


CycleFrames = Annotated[
    float,
    Rule(
        at_least(SHORTEST_CYCLE).holds,
        f"a number of at least {SHORTEST_CYCLE}, the frames in which a nucleus condenses, divides and relaxes",
    ),
]
LightShare = Annotated[
    tuple[float, float], two(Rule(lambda v: positive().holds(v) and v <= 1, "a share above 0 and up to 1"))
]


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """Everything that decides a simulated movie.

    Attributes
    ----------
    frames : int
        Time points.
    shape : Shape
        Voxels of a frame along (z, y, x); one plane makes a 2D movie.
    spacing_um : Spacing
        Voxel size along (z, y, x), micrometres.
    interval_s : float
        Seconds between frames.
    seed : int
        Same seed, same bytes.
    start_nuclei : int
        Nuclei in the first frame.
    cycle_frames, cycle_noise : float
        Mean frames between two divisions (about 100 in a mouse embryo imaged every 10 minutes), relative spread.
    cycle_memory : float
        Correlation of a daughter's cycle length with her mother's, 0 to 1: above 0 there are fast and slow lineages.
    radius_um : float or None
        Radius of the sphere with the volume of a nucleus at the two-cell stage, halfway through its cycle; by default
        12, as in mouse embryos, and less in a small egg.
    growth : float
        Volume of a nucleus at the end of its cycle over its volume at birth.
    shrink : float
        Radius of a daughter over radius of her mother.
    room : {"egg", "sheet"}
        What holds the nuclei: an egg, or one layer across the middle of the frame.
    embryo_um : Spacing or None
        Diameters of the egg along (z, y, x); by default 88 % of the frame, and for a sheet the whole frame.
    cavity_nuclei : int or None
        Nuclei at which a cavity opens and the egg widens to a blastocyst: most nuclei end up flat on the wall, the
        others as the inner cell mass at one pole. About 32 in mouse embryos; None for never.
    polar_bodies : int
        Small bright bodies beside the egg, which look like nuclei and have no label.
    axial_stretch : float
        Length of a nucleus along z over its width. Annotators of real stacks draw 1.8: part of it is axial blur.
    light_share : tuple of float
        Shares of a nucleus' length along z, and of its width, that give light; the rest is blur that annotators of real
        stacks count in. (1, 1) for labels that hold the light source and nothing else.
    migration_um : float
        Wandering of a nucleus per frame.
    drift_um, rotation_deg : float
        Wandering and turning of the whole embryo per frame.
    jump_chance, jump_um, jump_deg : float
        Chance per frame that the whole embryo jumps, and how far it is shifted and turned then at most; each jump goes
        at least half as far.
    photons : float
        Electrons a voxel collects in a two-cell nucleus at the surface nearest to the objective.
    fade : float
        Brightness of a daughter over brightness of her mother (the label is diluted).
    bleach : float
        Light lost per frame, as a share.
    attenuation_um : float
        Depth over which light falls to 1/e; the objective looks from the last plane.
    background, cytoplasm : float
        Electrons per voxel everywhere, and more of them inside the egg.
    offset, gain, read_noise : float
        Grey value of no light, grey values per electron of the EM-CCD camera, and spread of the reading in grey values.
    """

    frames: PositiveInt = 10
    shape: Annotated[Shape, three(whole(1))] = (51, 128, 128)
    spacing_um: Annotated[Spacing, three(positive())] = (1.75, 0.8, 0.8)
    interval_s: PositiveFloat = 600.0
    seed: NonNegativeInt = 0
    start_nuclei: PositiveInt = 4
    cycle_frames: CycleFrames = 6.0
    cycle_noise: NonNegativeFloat = 0.15
    cycle_memory: Share = 0.0
    radius_um: PositiveFloat | None = None
    growth: PositiveFloat = 1.5
    shrink: PositiveFloat = 0.9
    room: RoomKind = "egg"
    embryo_um: Annotated[Spacing, three(positive())] | None = None
    cavity_nuclei: Annotated[int, whole(2)] | None = None
    polar_bodies: NonNegativeInt = 0
    axial_stretch: PositiveFloat = 1.8
    light_share: LightShare = (0.62, 0.94)
    migration_um: NonNegativeFloat = 1.0
    drift_um: NonNegativeFloat = 0.0
    rotation_deg: NonNegativeFloat = 0.0
    jump_chance: Share = 0.0
    jump_um: NonNegativeFloat = 6.0
    jump_deg: NonNegativeFloat = 40.0
    photons: NonNegativeFloat = 220.0
    fade: PositiveFloat = 0.62
    bleach: Share = 0.002
    attenuation_um: PositiveFloat = 120.0
    background: NonNegativeFloat = 0.4
    cytoplasm: NonNegativeFloat = 0.3
    offset: FiniteFloat = 100.0
    gain: PositiveFloat = 13.5
    read_noise: NonNegativeFloat = 1.7

    def __post_init__(self) -> None:
        check_fields(self, error=SimulationError)

    @property
    def extent_um(self) -> Spacing:
        """Size of a frame along (z, y, x), micrometres."""
        (nz, ny, nx), (sz, sy, sx) = self.shape, self.spacing_um
        return (nz * sz, ny * sy, nx * sx)

    @property
    def egg_um(self) -> Spacing:
        """Half axes of the egg along (z, y, x), micrometres."""
        share = 0.88 if self.room == "egg" else 1.0
        z, y, x = self.embryo_um or tuple(share * e for e in self.extent_um)
        return (z / 2, y / 2, x / 2)

    def radius_at(self, depth: int) -> float:
        """Radius, micrometres, of the sphere with the volume of a resting nucleus `depth` divisions after the egg."""
        radius = min(_MOUSE_RADIUS_UM, _ROOMY * self._egg_size_um) if self.radius_um is None else self.radius_um
        return float(radius * self.shrink ** (depth - 1))

    @property
    def _egg_size_um(self) -> float:
        """Radius of the ball as roomy as the egg for nuclei of this stretch."""
        z, y, x = self.egg_um
        return math.sqrt(y * x) if self.shape[0] == 1 else (z / self.axial_stretch * y * x) ** (1 / 3)

    def rng(self, draw: Draw, *key: int) -> np.random.Generator:
        """Return the random numbers for one purpose and one thing, whatever else was or will be drawn."""
        return np.random.default_rng([self.seed, int(draw), *key])
