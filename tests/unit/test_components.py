"""Components of a frame from those of blocks, without exchanging pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, Grid, Shape
from tlseg.label.components import FrameComponents, core_components, describe, join

SHAPE: Shape = (11, 17, 14)
FRAME = Box.of_shape(SHAPE)


def join_blocks(foreground: NDArray[np.bool_], block: Shape) -> tuple[FrameComponents, Grid]:
    grid = Grid(SHAPE, block)
    parts = []
    for core in grid:
        crop = core.grow((1, 1, 1)).intersect(FRAME)
        parts.append(describe(foreground[crop.slices], crop=crop, core=core, frame=FRAME))
    return join(parts, grid), grid


@pytest.mark.parametrize("share", [0.0, 0.2, 0.32, 0.5, 1.0])
@pytest.mark.parametrize("block", [(4, 5, 6), (2, 3, 2), (11, 17, 14), (3, 20, 2)])
def test_joined_components_are_those_of_the_whole_frame(share: float, block: Shape) -> None:
    foreground = np.random.default_rng(1).random(SHAPE) < share
    joined, grid = join_blocks(foreground, block)
    truth, number = ndimage.label(foreground)
    assert len(joined.voxels) == number
    assert joined.voxels.sum() == foreground.sum()
    painted = np.zeros(SHAPE, dtype=np.int64)
    for index, core in enumerate(grid):
        local = core_components(foreground[core.slices])
        inside = local > 0
        painted[core.slices][inside] = joined.of[index][local[inside] - 1] + 1
    pairs = np.unique(np.stack([painted[foreground], truth[foreground]]), axis=1)
    assert pairs.shape[1] == number
    assert len(np.unique(pairs[0])) == number
    for mine, theirs in pairs.T:
        where = np.flatnonzero(truth == theirs)
        assert joined.first[mine - 1] == where[0]
        assert joined.voxels[mine - 1] == len(where)


def test_a_snake_through_every_block_is_one_component() -> None:
    foreground = np.zeros(SHAPE, dtype=bool)
    foreground[:, ::2, :] = True
    foreground[5, :, 0::13] = True
    joined, _ = join_blocks(foreground, (4, 4, 4))
    assert joined.voxels.tolist() == [foreground.sum()]


@pytest.mark.parametrize("step", [(0, 1, 1), (1, 1, 0), (1, 0, 1), (1, 1, 1)])
def test_edges_and_corners_do_not_join(step: Shape) -> None:
    foreground = np.zeros(SHAPE, dtype=bool)
    foreground[3, 3, 3] = True
    foreground[3 + step[0], 3 + step[1], 3 + step[2]] = True
    joined, _ = join_blocks(foreground, (4, 4, 4))
    assert joined.voxels.tolist() == [1, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_faces_join_across_a_seam(axis: int) -> None:
    foreground = np.zeros(SHAPE, dtype=bool)
    at = [1, 1, 1]
    at[axis] = 3
    foreground[tuple(at)] = True
    at[axis] = 4
    foreground[tuple(at)] = True
    joined, _ = join_blocks(foreground, (4, 4, 4))
    assert joined.voxels.tolist() == [2]
