"""Where things are in a frame: boxes of voxels, grids of blocks, and voxel spacings.

Cores tile a frame exactly once, so blocks can finish in any order and each voxel has one owner.
All boxes are half-open, in voxels of pyramid level 0, axes (z, y, x).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tlseg.errors import PlanError, TlsegError
from tlseg.rules import three, whole

AXES = ("z", "y", "x")

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
T = TypeVar("T")


def triple(values: Iterable[T]) -> tuple[T, T, T]:
    """Return one value for each axis (z, y, x), of which there are three, as a tuple."""
    z, y, x = values
    return (z, y, x)


def as_spacing(given: Sequence[float], *, is_2d: bool, error: type[TlsegError]) -> Spacing:
    """Voxel spacing (z, y, x) as three positive numbers, or (y, x) if there is no z axis.

    Without a z axis nothing stores how thick planes are, so they are 1 um thick whatever was given.

    Raises
    ------
    error
        If it is anything else.
    """
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError):
        values = []
    if is_2d and len(values) == 2:
        values = [1.0, *values]
    if len(values) != 3 or not all(0 < value < math.inf for value in values):
        expected = "Y,X or Z,Y,X" if is_2d else "Z,Y,X"
        raise error(f"Spacing {given} was given. Expected {expected} in micrometres, all positive.")
    return triple([1.0, *values[1:]] if is_2d else values)


def as_block(given: Sequence[int]) -> Shape:
    """Voxels (z, y, x) of a block.

    Raises
    ------
    PlanError
        If it is anything but three whole numbers, each at least 1.
    """
    if not three(whole(1)).holds(given):
        raise PlanError(
            f"{given!r} is not a valid block. Expected three whole numbers of voxels (z, y, x), each at least 1, such as "
            "(64, 256, 256)."
        )
    return triple(int(n) for n in given)


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box of voxels, `start <= voxel < stop` along (z, y, x)."""

    start: Shape
    stop: Shape

    @classmethod
    def of_shape(cls, shape: Shape) -> Box:
        """Box from the origin that holds a whole frame of `shape`."""
        return cls((0, 0, 0), shape)

    @property
    def shape(self) -> Shape:
        """Voxels along (z, y, x)."""
        return triple(map(operator.sub, self.stop, self.start))

    @property
    def size(self) -> int:
        """Number of voxels; 0 when empty."""
        return math.prod(max(0, n) for n in self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Slices that cut this box out of a frame."""
        return triple(map(slice, self.start, self.stop))

    def grow(self, voxels: Shape) -> Box:
        """Box with `voxels` more on both sides of each axis (not clipped)."""
        return Box(_add(self.start, _neg(voxels)), _add(self.stop, voxels))

    def intersect(self, other: Box) -> Box:
        """Largest box inside both; empty (size 0) when they do not meet."""
        start = triple(map(max, self.start, other.start))
        return Box(start, triple(map(max, start, map(min, self.stop, other.stop))))

    def shift(self, offset: Shape) -> Box:
        """Box moved by `offset` voxels."""
        return Box(_add(self.start, offset), _add(self.stop, offset))

    def inside(self, outer: Box) -> Box:
        """Return this box in coordinates that start at `outer.start`."""
        return self.shift(_neg(outer.start))

    def contains(self, other: Box) -> bool:
        """Whether `other` lies wholly inside this box."""
        return self.intersect(other) == other


@dataclass(frozen=True, slots=True)
class Grid:
    """Blocks of one shape laid over a frame from its origin; the last along each axis may be cut short."""

    frame: Shape
    block: Shape

    @property
    def counts(self) -> Shape:
        """Number of blocks along (z, y, x)."""
        return triple(-(-n // b) for n, b in zip(self.frame, self.block, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __getitem__(self, index: int) -> Box:
        """Voxels owned by the block with this number."""
        start = triple(p * b for p, b in zip(self.position(index), self.block, strict=True))
        return Box(start, triple(min(s + b, n) for s, b, n in zip(start, self.block, self.frame, strict=True)))

    def __iter__(self) -> Iterator[Box]:
        return map(self.__getitem__, range(len(self)))

    def position(self, index: int) -> Shape:
        """Grid position (z, y, x) of the block with this number, x running fastest."""
        _, ny, nx = self.counts
        return (index // (ny * nx), index // nx % ny, index % nx)

    def index(self, position: Shape) -> int:
        """Return the number of the block at this grid position; inverse of `position`."""
        _, ny, nx = self.counts
        return (position[0] * ny + position[1]) * nx + position[2]

    def touching(self, box: Box) -> list[int]:
        """Numbers of the blocks whose core meets `box`, ascending."""
        box = box.intersect(Box.of_shape(self.frame))
        if not box.size:
            return []
        ranges = [range(a // b, -(-z // b)) for a, z, b in zip(box.start, box.stop, self.block, strict=True)]
        return [self.index(triple(p)) for p in product(*ranges)]


def slab(shape: Shape, *, unit: Shape, most: int) -> Shape:
    """Block of whole units, at least one, with at most `most` voxels otherwise; cut along z first, then y, then x."""
    block = list(shape)
    for axis in range(3):
        rest = math.prod(n for other, n in enumerate(block) if other != axis)
        fits = most // max(1, rest)
        if fits < block[axis]:
            block[axis] = min(block[axis], max(1, fits // unit[axis]) * unit[axis])
    return triple(block)


def spacing_nm(spacing_um: Spacing) -> Shape:
    """Voxel spacing in whole nanometres, so that squared distances are integers and agree bit for bit between crops."""
    return triple(max(1, round(s * 1000)) for s in spacing_um)


def whole_nm(distance_um: float) -> int:
    """Distance in whole nanometres, to be compared with those between voxels."""
    return round(distance_um * 1000)


def voxels_for(distance_um: float, spacing_um: Spacing) -> Shape:
    """Fewest voxels along each axis that span at least `distance_um`."""
    return triple(math.ceil(distance_um / s - 1e-9) for s in spacing_um)


def ball_radius(volume: ArrayLike) -> NDArray[np.float64]:
    """Radius of the ball of this volume, in the unit whose cube is the unit of volume; same shape as `volume`."""
    return np.asarray(np.cbrt(np.asarray(volume, dtype=np.float64) * (3 / (4 * np.pi))))


def volume_um3(voxels: ArrayLike, *, frame: Shape, spacing_um: Spacing) -> NDArray[np.float64]:
    """Volumes in cubic micrometres of nuclei of so many voxels, same shape as `voxels`.

    In a frame (z, y, x) of one plane they are those of balls with these cross sections, however thick the plane.
    """
    size = np.asarray(voxels, dtype=np.float64)
    if frame[0] > 1:
        return size * float(np.prod(spacing_um))
    area = size * (spacing_um[1] * spacing_um[2])
    return np.asarray(area * np.sqrt(area) * (4 / (3 * np.sqrt(np.pi))))


def _add(a: Shape, b: Shape) -> Shape:
    return triple(map(operator.add, a, b))


def _neg(a: Shape) -> Shape:
    return triple(map(operator.neg, a))
