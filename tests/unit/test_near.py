"""Whether two points are near is decided in whole square nanometres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.geometry import Spacing
from tlseg.label.near import Places
from tlseg.label.saddles import SaddleRule


@pytest.mark.parametrize("far", [0, 10**6])
@pytest.mark.parametrize(("spacing", "voxels", "um"), [(0.1, 3, 0.3), (0.7, 6, 4.2), (0.8, 7, 5.6), (0.35, 3, 1.05)])
def test_what_is_just_as_far_as_allowed_is_near(spacing: float, voxels: int, um: float, far: int) -> None:
    """In floating point, most of these would be too far by a last bit, here or a million voxels away."""
    position = np.array([[far, 5, 5], [far, 5 + voxels, 5], [far, 5, 6 + voxels]])
    places = Places.of(position, (1.0, spacing, spacing))
    assert sorted(places.within(um, of=0)) == [0, 1]
    assert places.pairs_within(um).tolist() == [[0, 1]]
    assert places.pairs_within(um - 0.001).tolist() == []


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    spacing=st.tuples(*[st.sampled_from([0.1, 0.35, 0.7, 0.8, 1.75, 0.0004])] * 3),
    distance=st.sampled_from([0.0, 0.7, 1.4, 2.8, 5.0]),
    seed=st.integers(0, 10**6),
)
def test_places_within_a_distance_are_all_and_no_others(spacing: Spacing, distance: float, seed: int) -> None:
    position = np.unique(np.random.default_rng(seed).integers(0, 9, (30, 3)), axis=0)
    places = Places.of(position, spacing)
    nm = [max(1, round(s * 1000)) for s in spacing]
    away = [[sum(((a - b) * n) ** 2 for a, b, n in zip(p, q, nm, strict=True)) for q in position] for p in position]
    near = np.array(away) <= round(distance * 1000) ** 2
    for i in range(len(position)):
        assert sorted(places.within(distance, of=i)) == np.flatnonzero(near[i]).tolist()
    assert sorted(places.pairs_within(distance).tolist()) == np.argwhere(np.triu(near, 1)).tolist()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(spacing=st.sampled_from([0.1, 0.3464, 0.0004, 1.75]), reach=st.floats(0, 5))
def test_a_block_sees_both_of_a_pair_whose_middle_it_owns(spacing: float, reach: float) -> None:
    halo = SaddleRule(0.8, reach).halo((spacing,) * 3)[0]
    apart = round(reach * 1000) // max(1, round(spacing * 1000))
    for first in (0, 1):
        middle = (first + first + apart) // 2
        assert middle - first <= halo
        assert first + apart - middle <= halo
