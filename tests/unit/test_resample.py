"""What must not happen when spacings change: nuclei must not grow, shift or be skipped."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tlseg.geometry import Box, Shape, Spacing
from tlseg.predict.resample import resample, resampled_shape, source_box


def resampled(values: NDArray[np.float32], spacing: Spacing, to: Spacing) -> NDArray[np.float32]:
    z, y, x = values.shape
    shape: Shape = (z, y, x)
    box = Box.of_shape(resampled_shape(shape, spacing, to))
    return resample(values, Box.of_shape(shape), box, shape=shape, spacing=spacing, to=to)


def ball(
    spacing: Spacing, centre: NDArray[np.float64], radius: float, *, size: float = 40.0, edge: float = 0.0
) -> NDArray[np.float32]:
    """Ball (um) in a cube of `size`: a mask, or a probability that falls from 1 to 0 within `edge`."""
    grids = [(np.arange(round(size / s)) + 0.5) * s for s in spacing]
    z, y, x = np.meshgrid(*grids, indexing="ij")
    depth = radius - np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    return (np.clip(depth / edge + 0.5, 0, 1) if edge else depth > 0).astype(np.float32)


@pytest.mark.parametrize("ratio", [1.5, 1.75, 1.75 / 0.8, 2.5, 3.5])
@pytest.mark.parametrize("there", ["finer", "coarser"])
def test_volumes_are_kept_at_one_half(ratio: float, there: str) -> None:
    spacing, to = ((ratio, 1.0, 1.0), (1.0, 1.0, 1.0)) if there == "finer" else ((1.0, 1.0, 1.0), (ratio, 1.0, 1.0))
    rng = np.random.default_rng(0)
    before = after = 0.0
    for _ in range(40):
        mask = ball(spacing, 20 + rng.uniform(-2, 2, 3), rng.uniform(8, 11), edge=2.0)
        before += (mask >= 0.5).sum() * np.prod(spacing)
        after += (resampled(mask, spacing, to) >= 0.5).sum() * np.prod(to)
    # Straight lines between voxels cut the corners of a ball, with the square of voxel over radius.
    assert after == pytest.approx(before, rel=max(0.01, 0.002 * ratio**2))


def test_any_positive_value_is_not_one_half() -> None:
    """The bug of the original: interpolating a mask and keeping everything above zero makes nuclei grow."""
    mask = ball((3.5, 1.0, 1.0), np.full(3, 20.0), 9.0)
    grown = (resampled(mask, (3.5, 1.0, 1.0), (1.0, 1.0, 1.0)) > 0).sum()
    assert grown > 1.15 * mask.sum() * 3.5


@pytest.mark.parametrize(
    # Both grids meet again after `period`.
    ("step", "to", "period"),
    [(1.75, 0.8, 28.0), (1.0, 0.43, 43.0), (0.8, 1.75, 28.0), (0.5, 1.6, 8.0)],
)
@pytest.mark.parametrize("wall_of", ["shares", "mask"])
def test_a_half_space_keeps_its_mean_extent(step: float, to: float, period: float, wall_of: str) -> None:
    wall = np.zeros((200, 1, 1), dtype=np.float32)
    errors = []
    for offset in 20 + (np.arange(1000) + 0.5) / 1000 * period:
        # How much of each voxel lies before the wall, so that the wall is at a place between voxels.
        wall[:, 0, 0] = np.clip(offset / step - np.arange(200), 0, 1)
        if wall_of == "mask":
            wall = (wall >= 0.5).astype(np.float32)
        kept = (resampled(wall, (step, 1.0, 1.0), (to, 1.0, 1.0)) >= 0.5).sum() * to
        errors.append(kept - offset)
    assert abs(np.mean(errors)) < 0.06 * to
    assert max(np.abs(errors)) <= max(step, to)


def test_going_coarser_skips_no_voxel() -> None:
    values = np.zeros((1, 1, 64), dtype=np.float32)
    for at in range(8, 56):
        values[:] = 0
        values[0, 0, at] = 1
        coarse = resampled(values, (1.0, 1.0, 0.5), (1.0, 1.0, 1.85))
        # A single bright voxel keeps its share of intensity, wherever it falls.
        assert coarse.sum() * 1.85 == pytest.approx(0.5, rel=0.15)


def test_a_fine_pattern_turns_grey_and_not_into_stripes() -> None:
    values = np.zeros((1, 1, 120), dtype=np.float32)
    values[..., ::2] = 1
    coarse = resampled(values, (1.0, 1.0, 1.0), (1.0, 1.0, 2.2))[0, 0, 3:-3]
    assert np.abs(coarse - 0.5).max() < 0.1


def test_nothing_shifts_there_and_back() -> None:
    fine, coarse = (1.0, 1.0, 1.0), (2.3, 1.4, 1.4)
    # 40 um is no multiple of the coarse voxels: both grids begin at the same corner.
    mask = ball(fine, np.array([18.0, 21.0, 19.5]), 10.0)
    back = resampled(resampled(mask, fine, coarse), coarse, fine)[:40, :40, :40]
    for axis in range(3):
        place = np.arange(40)
        other = tuple(a for a in range(3) if a != axis)
        before = (mask.sum(axis=other) * place).sum() / mask.sum()
        after = (back.sum(axis=other) * place).sum() / back.sum()
        assert after == pytest.approx(before, abs=0.05)


def test_a_crop_needs_little_of_the_frame() -> None:
    source = source_box(Box((10, 10, 10), (12, 12, 12)), shape=(99, 99, 99), spacing=(1, 1, 1), to=(0.5, 1, 2))
    # Finer: both voxels beside each centre (4.75 and 5.25). The same: one of no weight, too. Coarser: a triangle that is
    # four voxels wide around 20.5 and 22.5.
    assert source == Box((4, 10, 19), (7, 13, 25))
