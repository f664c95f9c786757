"""Where does the network look?

Windows sit on a fixed lattice anchored at the frame's origin, in voxels of the model's spacing. The lattice is a
function of the frame's shape and the model, never of blocks, workers or batches; so two blocks that need the same window
get the same window. Neighbouring windows overlap and are blended with a linear ramp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import ModelError
from tlseg.geometry import Box, Shape, triple


@dataclass(frozen=True, slots=True)
class Lattice:
    """Windows over one frame.

    Raises `ModelError` if a window does not hold two overlaps or whole multiples.

    Parameters
    ----------
    frame
        Frame in voxels (z, y, x) of the model's spacing.
    window
        Largest window. Along each axis the fewest windows that can cover the frame are made equally long, so that
        little of them lies past the frame's edge.
    overlap
        Voxels that two neighbouring windows share along each axis.
    multiple
        Every side of a window is a multiple of this.
    """

    frame: Shape
    window: Shape
    overlap: Shape
    multiple: int

    def __post_init__(self) -> None:
        for w, o in zip(self.window, self.overlap, strict=True):
            if w % self.multiple or o < 0 or w < 2 * o or w < 1:
                raise ModelError(
                    f"A window of {self.window} voxels with overlap {self.overlap} is not possible: sides must be "
                    f"multiples of {self.multiple} and hold two overlaps."
                )

    @property
    def shape(self) -> Shape:
        """Shape (z, y, x) of every window of this lattice."""
        sides = []
        for n, largest, shared in zip(self.frame, self.window, self.overlap, strict=True):
            number = max(1, -(-(n - shared) // (largest - shared)))
            side = -(-(n + (number - 1) * shared) // number)
            if number > 1:
                side = max(side, 2 * shared)
            sides.append(min(largest, -(-side // self.multiple) * self.multiple))
        return triple(sides)

    @property
    def starts(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """First voxel of the windows along each axis.

        The last window ends at or past the frame's edge: the lattice never slides, and what lies past the edge is padding.
        """
        return triple(
            tuple(range(0, max(1, n - o), max(1, w - o)))
            for n, w, o in zip(self.frame, self.shape, self.overlap, strict=True)
        )

    @property
    def counts(self) -> Shape:
        """Windows along (z, y, x)."""
        return triple(map(len, self.starts))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def box(self, number: int) -> Box:
        """Voxels of window `number` (x runs fastest); may reach past the frame's edge."""
        _, ny, nx = self.counts
        at = (number // (ny * nx), number // nx % ny, number % nx)
        return Box.of_shape(self.shape).shift(triple(s[i] for s, i in zip(self.starts, at, strict=True)))

    def touching(self, box: Box) -> list[int]:
        """Numbers of the windows that hold any voxel of `box`, ascending."""
        _, ny, nx = self.counts
        hits = [
            [i for i, s in enumerate(starts) if s < b and s + w > a]
            for starts, a, b, w in zip(self.starts, box.start, box.stop, self.shape, strict=True)
        ]
        return [(z * ny + y) * nx + x for z, y, x in product(*hits)]

    def weights(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Blending weights of a window along z, y and x; a voxel's weight is their product.

        Within an overlap of `n` voxels the weight rises as (i + 1/2) / n, so that two neighbours add up to one. At the
        frame's edge there is no ramp.
        """
        box = self.box(number)
        ramps = []
        for axis in range(3):
            n = self.overlap[axis]
            length = self.shape[axis]
            ramp = np.ones(length, dtype=np.float32)
            rise = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / np.float32(max(n, 1))
            if n and box.start[axis] > 0:
                ramp[:n] = rise
            if n and box.start[axis] != self.starts[axis][-1]:
                ramp[length - n :] = rise[::-1]
            ramps.append(ramp)
        return triple(ramps)
