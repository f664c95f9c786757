"""What is too small is decided on whole instances of a frame."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlseg.config import LabelSettings
from tlseg.geometry import Shape
from tlseg.label.small import large_enough, median_volume

SPACING = (2.0, 1.0, 1.0)
VOLUMES = st.lists(st.integers(1, 500), max_size=30).map(np.array)


def kept(voxels: list[int], frame: Shape = (9, 99, 99), **settings: float) -> list[int]:
    chosen = large_enough(np.array(voxels), frame=frame, spacing_um=SPACING, settings=LabelSettings(**settings))
    return [v for v, keep in zip(voxels, chosen, strict=True) if keep]


@given(VOLUMES.filter(len), st.randoms())
def test_half_of_the_instances_are_at_least_as_large_as_the_median(voxels: np.ndarray, random: Random) -> None:
    middle = median_volume(voxels)
    assert middle in voxels
    assert 2 * (voxels >= middle).sum() >= len(voxels)
    assert 2 * (voxels <= middle).sum() >= len(voxels)
    random.shuffle(voxels)  # type: ignore[arg-type]
    assert median_volume(voxels) == middle


def test_polar_bodies_are_dropped_and_what_many_merged_into_one_changes_nothing() -> None:
    assert kept([900, 1000, 40, 50], minimum_volume_fraction=0.15) == [900, 1000]
    assert kept([900, 1000, 950, 20000], minimum_volume_fraction=0.15) == [900, 1000, 950, 20000]


def test_where_debris_outnumbers_the_nuclei_nothing_is_dropped() -> None:
    assert len(kept([900, 1000, 40, 50, 60], minimum_volume_fraction=0.15)) == 5


def test_debris_below_the_least_volume_does_not_count_as_usual() -> None:
    assert kept([100, 90, 20] + [5] * 100, minimum_volume_um3=12.0, minimum_volume_fraction=0.3) == [100, 90]
    assert len(kept([100, 90, 20] + [5] * 100, minimum_volume_fraction=0.3)) == 103


@pytest.mark.parametrize("voxels", [[], [7], [7, 7, 7]])
def test_equals_are_all_kept(voxels: list[int]) -> None:
    assert kept(voxels, minimum_volume_fraction=1.0) == voxels


def test_discs_are_as_large_as_balls_of_their_width() -> None:
    """Widths of 1, 1/2 and 1/3: areas of 1, 1/4 and 1/9, volumes of 1, 1/8 and 1/27."""
    for fraction, left in ((0.03, 5), (0.1, 4), (0.2, 3)):
        discs = kept([3600, 3600, 3600, 900, 400], frame=(1, 99, 99), minimum_volume_fraction=fraction)
        assert len(discs) == left
    ball = 4 / 3 * np.pi * 10**3
    assert kept([315, 313], frame=(1, 99, 99), minimum_volume_um3=ball) == [315]


def test_at_the_limit_is_large_enough() -> None:
    assert kept([100, 100, 30, 29], minimum_volume_fraction=0.3) == [100, 100, 30]
    assert kept([10, 9], minimum_volume_um3=20.0) == [10]
