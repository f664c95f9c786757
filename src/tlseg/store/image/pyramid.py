"""How a frame is laid out on disk: pyramid levels, and at each level shards and the chunks inside them.

A region is one shard at every level: its voxels at level 0, divided by the level's factor at coarser ones. Everything
follows from the frame's shape and spacing, never from how the work is cut, so whoever owns a region owns whole files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlseg.errors import PlanError
from tlseg.geometry import Box, Grid, Shape, Spacing, triple

# A small frame is one file per level, a large one does not become a million. The z extent is what a converter must hold
# in memory.
_REGION, _REGION_2D = (64, 256, 256), (1, 1024, 1024)
COARSEST = 64  # pixels along y and x below which a frame needs no coarser level
_LEAST_SHARD = 8  # voxels along an axis below which a coarser shard is not worth a file
_CHUNK = (32, 128, 128)  # one megabyte of uint16: what a viewer fetches at once


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Layout of one frame at every level.

    Attributes
    ----------
    shape : (z, y, x)
        Voxels of a frame at level 0.
    spacing_um : (z, y, x)
        Voxel spacing at level 0, micrometres.
    translation_um : (z, y, x)
        Position of the centre of the first voxel at level 0, micrometres.
    factors : tuple of (z, y, x)
        Downsampling of each level against level 0; the first is (1, 1, 1), and each a multiple of the one before.
    region : (z, y, x)
        Voxels of level 0 that make one shard at every level; a multiple of every factor.
    """

    shape: Shape
    spacing_um: Spacing
    translation_um: Spacing
    factors: tuple[Shape, ...]
    region: Shape

    @property
    def regions(self) -> Grid:
        """Regions of a frame; each is a whole number of shards at every level."""
        return Grid(self.shape, self.region)

    def level_shape(self, level: int) -> Shape:
        """Voxels of a frame at a level: `ceil(shape / factor)`."""
        return triple(-(-n // f) for n, f in zip(self.shape, self.factors[level], strict=True))

    def shard(self, level: int) -> Shape:
        """Voxels of one shard at a level."""
        return triple(r // f for r, f in zip(self.region, self.factors[level], strict=True))

    def chunk(self, level: int) -> Shape:
        """Voxels of one chunk inside a shard: a divisor of the shard, no larger than a viewer wants."""
        return triple(_divisor(s, c) for s, c in zip(self.shard(level), _CHUNK, strict=True))

    def level_spacing_um(self, level: int) -> Spacing:
        """Voxel spacing at a level."""
        return triple(s * f for s, f in zip(self.spacing_um, self.factors[level], strict=True))

    def level_translation_um(self, level: int) -> Spacing:
        """Position of the centre of the first voxel at a level: half a coarse voxel less half a fine one further in."""
        return triple(
            t + s * (f - 1) / 2
            for t, s, f in zip(self.translation_um, self.spacing_um, self.factors[level], strict=True)
        )

    def level_box(self, box: Box, level: int) -> Box:
        """Box of level 0 that starts on a region, at another level."""
        f = self.factors[level]
        start = triple(a // k for a, k in zip(box.start, f, strict=True))
        return Box(start, triple(-(-b // k) for b, k in zip(box.stop, f, strict=True)))

    def check_whole(self, box: Box) -> None:
        """Raise unless `box` is a whole number of regions inside the frame.

        Raises
        ------
        PlanError
            Two workers that share a shard lose each other's voxels, so such a box must never be written.
        """
        for axis, a, b, n, r in zip("zyx", box.start, box.stop, self.shape, self.region, strict=True):
            if not 0 <= a < b <= n or a % r or (b % r and b != n):
                raise PlanError(
                    f"Along {axis}, voxels {a}:{b} of {n} do not hold whole shards of {r}: two workers would write one "
                    f"shard and lose voxels. Use blocks that are a multiple of {r}."
                )


def plan_pyramid(shape: Shape, *, spacing_um: Spacing, translation_um: Spacing = (0.0, 0.0, 0.0)) -> Pyramid:
    """Lay out a frame: coarser levels by powers of two, finest axes first, until a frame is about 64 pixels wide.

    An axis is halved while its spacing is at most sqrt(2) times the finest, so that levels approach isotropic voxels.
    """
    region = _region(shape)
    factors: list[Shape] = [(1, 1, 1)]
    while max(-(-n // f) for n, f in zip(shape[1:], factors[-1][1:], strict=True)) > COARSEST:
        halved = _halve(factors[-1], shape, spacing_um, region)
        if halved == factors[-1]:
            break
        factors.append(halved)
    return Pyramid(shape, spacing_um, translation_um, tuple(factors), region)


def pyramid_like(
    level_shapes: Sequence[Shape], *, spacing_um: Spacing, translation_um: Spacing = (0.0, 0.0, 0.0)
) -> Pyramid:
    """Lay out labels beside an image that has levels of these shapes: as many levels, by the nearest powers of two."""
    shape = level_shapes[0]
    factors = [(1, 1, 1)]
    for level in level_shapes[1:]:
        nearest = (2 ** round(math.log2(max(1.0, n / m))) for n, m in zip(shape, level, strict=True))
        factors.append(triple(max(f, last) for f, last in zip(nearest, factors[-1], strict=True)))
    region = triple(max(r, f) for r, f in zip(_region(shape), factors[-1], strict=True))
    return Pyramid(shape, spacing_um, translation_um, tuple(factors), region)


def slabs(regions: Grid, *, most_voxels: int) -> Grid:
    """Cut a frame into boxes of whole regions, wide before tall, of at most so many voxels unless one region has more."""
    z, y, x = regions.block
    most = max(1, most_voxels // (z * y * x))
    _, rows, columns = regions.counts
    wide = min(columns, most)
    tall = min(rows, max(1, most // wide))
    return Grid(regions.frame, (z, y * tall, x * wide))


def downsample_labels(labels: npt.NDArray[np.generic], factor: Shape) -> npt.NDArray[np.generic]:
    """Keep the voxel in the middle of each block of `factor` voxels (z, y, x): values stay label values, in their places.

    Of two in the middle the later one is kept; in a block cut short by the end of the array, the last one if necessary. The
    array must start where the frame starts or on a multiple of `factor` and end likewise, so that crops agree with the
    whole.
    """
    if factor == (1, 1, 1):
        return labels
    z, y, x = (np.minimum(np.arange(0, n, f) + f // 2, n - 1) for n, f in zip(labels.shape, factor, strict=True))
    return labels[np.ix_(z, y, x)]


def image_levels(image: npt.NDArray[np.generic], factors: Sequence[Shape]) -> Iterator[npt.NDArray[np.generic]]:
    """Yield the mean of blocks of each of `factors` voxels (z, y, x), each a multiple of the one before.

    Means are rounded half up for integers, and in the image's own data type. A block cut short by the end of the array is
    the mean of the voxels it has. Sums are carried from level to level.
    """
    sums: npt.NDArray[np.generic] = image.astype(np.float64 if image.dtype.kind == "f" else np.int64)
    last = (1, 1, 1)
    for factor in factors:
        if factor == (1, 1, 1):
            yield image
            continue
        sums = _block_sums(sums, triple(f // k for f, k in zip(factor, last, strict=True)))
        last = factor
        yield _mean(sums, image, factor)


def _halve(factor: Shape, shape: Shape, spacing_um: Spacing, region: Shape) -> Shape:
    halvable = [-(-n // f) > 1 and r // (2 * f) >= _LEAST_SHARD for n, f, r in zip(shape, factor, region, strict=True)]
    spacing = [s * f for s, f in zip(spacing_um, factor, strict=True)]
    finest = min((s for s, h in zip(spacing, halvable, strict=True) if h), default=0.0)
    limit = finest * math.sqrt(2) * (1 + 1e-9)
    return triple(f * 2 if h and s <= limit else f for f, s, h in zip(factor, spacing, halvable, strict=True))


def _region(shape: Shape) -> Shape:
    largest = _REGION_2D if shape[0] == 1 else _REGION
    return triple(min(a, _power_of_two(n)) for a, n in zip(largest, shape, strict=True))


def _power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def _divisor(n: int, most: int) -> int:
    return next(d for d in range(min(n, most), 0, -1) if n % d == 0)


def _block_sums(sums: npt.NDArray[np.generic], factor: Shape) -> npt.NDArray[np.generic]:
    for axis, f in enumerate(factor):
        if f > 1:
            sums = np.add.reduceat(sums, np.arange(0, sums.shape[axis], f), axis=axis)
    return sums


def _mean(sums: npt.NDArray[np.generic], image: npt.NDArray[np.generic], factor: Shape) -> npt.NDArray[np.generic]:
    z, y, x = (np.minimum(f, n - np.arange(m) * f) for f, n, m in zip(factor, image.shape, sums.shape, strict=True))
    count = (z[:, None, None] * y[:, None] * x).astype(sums.dtype)
    means: npt.NDArray[np.generic] = (
        sums / count if image.dtype.kind == "f" else (2 * sums + count) // (2 * count)
    ).astype(image.dtype)
    return means
