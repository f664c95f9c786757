"""Tissue packed with thousands of touching nuclei, of any size, made box by box.

Every voxel is a function of the settings and its position alone, computed in whole numbers, so any box holds the same
voxels however a frame is cut: a frame larger than memory is written piece by piece. Nuclei are balls on a jittered
body-centred lattice; where balls meet, the flat power-diagram face parts them, so each label is convex: one piece. Over
time each ball wanders to and fro about its place on the lattice and keeps its number, so labels are tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from tlseg.geometry import Box, Shape, Spacing, triple
from tlseg.rules import NonNegativeFloat, NonNegativeInt, PositiveInt, between, check_fields, three, whole
from tlseg.simulate.optics import read_out
from tlseg.simulate.settings import Draw, SimulationError, SimulationSettings

# Lengths are counted in units of 1/1024 of the mean radius, so that squared distances fit 32 bits.
_RADIUS = 1024
_PITCH = 2000  # nearest neighbours 1.7 radii apart: most of the space is nucleus
_JITTER = 260
_RADII = (900, 1100)
_FASTEST = 48  # along each axis in a frame
_KERNEL = (3, 14, 30, 14, 3)  # blur along each axis; sums to 64
_LEVELS, _QUANTILES = 256, 4096
_TEXTURE = (2, 3, 3)  # voxels (z, y, x) of a grain

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """Everything that decides a dense frame.

    Attributes
    ----------
    shape : Shape
        Voxels along (z, y, x).
    radius_voxels : Spacing
        Mean radius of a nucleus along (z, y, x), voxels, 2 to 200.
    seed : int
        Same seed, same bytes.
    photons, background : float
        Electrons a voxel collects in the brightest nucleus, and everywhere.
    frames : int
        Time points.
    """

    shape: Annotated[Shape, three(whole(1))] = (64, 256, 256)
    radius_voxels: Annotated[Spacing, three(between(2, 200))] = (6.0, 9.0, 9.0)
    seed: NonNegativeInt = 0
    photons: NonNegativeFloat = 60.0
    background: NonNegativeFloat = 0.7
    frames: PositiveInt = 1

    def __post_init__(self) -> None:
        check_fields(self, error=SimulationError)
        if math.prod(self._cells) * 2 >= 2**32:
            raise SimulationError(f"{self.shape} holds more nuclei than 32-bit labels. Give larger nuclei.")

    @property
    def units(self) -> Shape:
        """Length units per voxel along (z, y, x)."""
        return triple(round(_RADIUS / r) for r in self.radius_voxels)

    @property
    def _cells(self) -> Shape:
        return triple(n * u // _PITCH + 4 for n, u in zip(self.shape, self.units, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Balls:
    """Nuclei near a box: labels (n,), centres (n, 3) and radii (n,) in units, brightness (n,) of 256."""

    label: Ints
    centre: Ints
    radius: Ints
    bright: Ints


def dense_frame(
    shape: Shape, *, radius_voxels: float | Spacing = 9.0, seed: int = 0
) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Make a whole frame of touching nuclei in memory.

    Parameters
    ----------
    shape : Shape
        Voxels along (z, y, x).
    radius_voxels : float or Spacing
        Mean radius of the nuclei, one for all axes or (z, y, x).
    seed : int

    Returns
    -------
    image : ndarray of uint16, (z, y, x)
    labels : ndarray of uint32, (z, y, x)
        Each number is one convex nucleus; numbers are not consecutive.
    """
    radii = (radius_voxels,) * 3 if isinstance(radius_voxels, int | float) else radius_voxels
    return simulate_large_frame(DenseSettings(shape, radii, seed), Box.of_shape(shape))


def simulate_large_frame(
    settings: DenseSettings, box: Box, *, t: int = 0
) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Make the voxels of one box of a dense frame.

    Parameters
    ----------
    settings : DenseSettings
    box : Box
        Voxels wanted; must lie inside the frame. About 40 bytes a voxel are needed while it runs.
    t : int
        Frame.

    Returns
    -------
    image : ndarray of uint16, (z, y, x)
    labels : ndarray of uint32, (z, y, x)
        Same voxels whatever box they are asked in.
    """
    if not box.size or not Box.of_shape(settings.shape).contains(box):
        raise SimulationError(f"Box {box.start} to {box.stop} is empty or outside the frame {settings.shape}.")
    margin = len(_KERNEL) // 2
    wide = box.grow((margin, margin, margin))
    light, labels = _paint(settings, wide, t)
    light = light * _grains(settings, wide) >> 8
    for axis in range(3):
        light = correlate1d(light, _KERNEL, axis=axis, mode="nearest")
    inner = box.inside(wide).slices
    level = np.minimum(light[inner] >> 20, _LEVELS - 1)
    chance = (_hash(_positions(settings, box, t), settings.seed, Draw.CAMERA) >> np.uint64(52)).astype(np.intp)
    image = _camera(settings)[level, chance]
    return image, np.ascontiguousarray(labels[inner])


def _paint(settings: DenseSettings, box: Box, t: int) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Light (0 to 1023) and labels of a box, before blur; the box may stick out of the frame."""
    light = np.zeros(box.shape, np.int32)
    labels = np.zeros(box.shape, np.uint32)
    power = np.zeros(box.shape, np.int32)
    profile = (1023 * (1 - 0.85 * (np.arange(257) / 256) ** 1.5)).astype(np.int32)
    balls = _balls_near(settings, box, t)
    units = settings.units
    for number, centre, radius, bright in zip(
        balls.label.tolist(), balls.centre.tolist(), balls.radius.tolist(), balls.bright.tolist(), strict=True
    ):
        low = [max(a, -((radius - c) // u)) for a, c, u in zip(box.start, centre, units, strict=True)]
        high = [min(b, (c + radius) // u + 1) for b, c, u in zip(box.stop, centre, units, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            continue
        z, y, x = (
            (np.arange(a, b, dtype=np.int32) * u - c) ** 2 for a, b, c, u in zip(low, high, centre, units, strict=True)
        )
        square = z[:, None, None] + y[:, None] + x
        window = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, box.start, strict=True))
        mine = square - radius**2
        # Strictly less: on a face shared to the bit the lower label, painted first, keeps the voxel in every box.
        won = mine < power[window]
        power[window][won] = mine[won]
        labels[window][won] = number
        light[window][won] = profile[(square[won] << 8) // radius**2] * bright >> 8
    return light, labels


def _balls_near(settings: DenseSettings, box: Box, t: int) -> _Balls:
    """Nuclei that may reach into a box, by label."""
    reach = _RADII[1] + _JITTER + _PITCH
    ranges = [
        np.arange((a * u - reach) // _PITCH, (b * u + reach) // _PITCH + 1)
        for a, b, u in zip(box.start, box.stop, settings.units, strict=True)
    ]
    cells = settings._cells
    # Cells from -2 to n + 1 along each axis have a number; those beyond cannot reach the frame.
    keep = [r[(r >= -2) & (r < n - 2)] for r, n in zip(ranges, cells, strict=True)]
    z, y, x, twin = (a.ravel() for a in np.meshgrid(*keep, np.arange(2), indexing="ij"))
    label = ((((z + 2) * cells[1] + y + 2) * cells[2]) + x + 2) * 2 + twin + 1
    draws = [_hash(label, settings.seed, Draw.DENSE, i) for i in range(8)]
    jitter = [_wander(place, speed, t) for place, speed in zip(draws[:3], draws[5:], strict=True)]
    centre = np.stack([a * _PITCH + twin * (_PITCH // 2) + j for a, j in zip((z, y, x), jitter, strict=True)], axis=1)
    radius = _RADII[0] + (draws[3] % np.uint64(_RADII[1] - _RADII[0] + 1)).astype(np.int64)
    bright = 140 + (draws[4] % np.uint64(117)).astype(np.int64)
    return _Balls(label, centre, radius, bright)


def _wander(place: NDArray[np.uint64], speed: NDArray[np.uint64], t: int) -> Ints:
    """Offset from the lattice in frame `t`: steady motion that turns back at `_JITTER` on either side."""
    start = (place % np.uint64(2 * _JITTER + 1)).astype(np.int64)
    step = (speed % np.uint64(2 * _FASTEST + 1)).astype(np.int64) - _FASTEST
    phase = (start + step * t) % (4 * _JITTER)
    offset: Ints = np.minimum(phase, 4 * _JITTER - phase) - _JITTER
    return offset


def _grains(settings: DenseSettings, box: Box) -> NDArray[np.int32]:
    """Texture of chromatin, 128 to 255 of 256, constant over grains of a few voxels."""
    index = [np.arange(a, b) // g for a, b, g in zip(box.start, box.stop, _TEXTURE, strict=True)]
    grains = [np.arange(i[0], i[-1] + 1) for i in index]
    z, y, x = (g + 1 for g in grains)
    _, ny, nx = settings.shape
    key = (z[:, None, None] * (ny + 9) + y[:, None]) * (nx + 9) + x
    coarse = (_hash(key, settings.seed, Draw.TEXTURE) >> np.uint64(57)).astype(np.int32) + 128
    at = [i - g[0] for i, g in zip(index, grains, strict=True)]
    return coarse[np.ix_(*at)]


def _positions(settings: DenseSettings, box: Box, t: int) -> Ints:
    """Return the number of each voxel in the movie, x running fastest."""
    nz, ny, nx = settings.shape
    z, y, x = (np.arange(a, b, dtype=np.int64) for a, b in zip(box.start, box.stop, strict=True))
    return ((t * nz + z)[:, None, None] * ny + y[:, None]) * nx + x


@lru_cache(maxsize=4)
def _camera(settings: DenseSettings) -> NDArray[np.uint16]:
    """Grey values by level of light and by chance: quantiles of what the movie's camera reads, (level, quantile)."""
    camera = SimulationSettings()
    table = np.empty((_LEVELS, _QUANTILES), np.uint16)
    for level in range(_LEVELS):
        mean = settings.background + settings.photons * level / (_LEVELS - 1)
        rng = np.random.default_rng([settings.seed, int(Draw.CAMERA), level])
        table[level] = np.sort(read_out(np.full(_QUANTILES, mean, np.float32), rng, settings=camera))
    return table


def _hash(values: Ints, *key: int) -> NDArray[np.uint64]:
    """Uniform 64-bit numbers from whole numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    salt = 0
    for part in key:
        salt = (salt * 0x9E3779B97F4A7C15 + part + 1) % 2**64
    h = values.astype(np.uint64)
    h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return h
