"""Boxes and grids, against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tlseg.errors import LabelError, MovieError
from tlseg.geometry import Box, Grid, Shape, as_spacing, ball_radius, slab, spacing_nm, volume_um3, voxels_for


def test_a_box_cuts_what_it_says() -> None:
    frame = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    box = Box((1, 2, 3), (4, 4, 7))
    assert box.shape == (3, 2, 4) == frame[box.slices].shape
    assert box.size == 24
    assert frame[box.slices][0, 0, 0] == frame[1, 2, 3]


def test_boxes_that_do_not_meet_share_nothing() -> None:
    shared = Box((0, 0, 0), (2, 2, 2)).intersect(Box((2, 0, 0), (4, 2, 2)))
    assert shared.size == 0
    assert min(shared.shape) == 0


def test_the_last_block_is_cut_short() -> None:
    grid = Grid((5, 4, 9), (2, 4, 4))
    assert grid.counts == (3, 1, 3)
    assert len(grid) == 9
    assert grid[grid.index((2, 0, 2))] == Box((4, 0, 8), (5, 4, 9))
    assert [grid.position(i) for i in (0, 1, 3, 8)] == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (2, 0, 2)]


def test_a_box_outside_the_frame_touches_no_block() -> None:
    assert Grid((8, 8, 8), (4, 4, 4)).touching(Box((9, 0, 0), (12, 8, 8))) == []


@pytest.mark.parametrize(
    ("distance", "expected"), [(0.0, (0, 0, 0)), (1.75, (1, 3, 3)), (1.76, (2, 3, 3)), (8.0, (5, 10, 10))]
)
def test_voxels_for_a_distance(distance: float, expected: tuple[int, int, int]) -> None:
    assert voxels_for(distance, (1.75, 0.8, 0.8)) == expected


@pytest.mark.parametrize(
    ("unit", "most", "expected"),
    [
        ((1, 1, 1), 1000, (5, 6, 7)),
        ((1, 1, 1), 100, (2, 6, 7)),
        ((1, 1, 1), 30, (1, 4, 7)),
        ((1, 1, 1), 5, (1, 1, 5)),
        ((1, 6, 7), 5, (1, 6, 7)),  # a unit is never cut
        ((2, 4, 4), 200, (4, 6, 7)),
        ((2, 4, 4), 60, (2, 4, 7)),
        ((2, 4, 4), 50, (2, 4, 4)),
        ((8, 8, 8), 1, (5, 6, 7)),
    ],
)
def test_a_slab_is_whole_units_and_no_more_than_it_may_be(unit: Shape, most: int, expected: Shape) -> None:
    assert slab((5, 6, 7), unit=unit, most=most) == expected


def test_no_spacing_rounds_to_nothing() -> None:
    assert spacing_nm((1e-5, 0.8, 1.7501)) == (1, 800, 1750)


def test_a_ball_has_the_volume_its_radius_says() -> None:
    radius = np.array([0.0, 0.5, 3.0, 1e4])
    np.testing.assert_allclose(ball_radius(4 / 3 * np.pi * radius**3), radius)
    assert float(ball_radius(4 / 3 * np.pi * 8)) == pytest.approx(2)


@pytest.mark.parametrize("given", [(1, 1), (1, 1, 0), (1, 1, float("nan")), (1, 1, "a"), 3, (1, 1, 1, 1)], ids=str)
def test_a_spacing_that_is_none_is_refused_in_one_way(given: Any) -> None:
    for error in (MovieError, LabelError):
        with pytest.raises(error, match=r"Expected Z,Y,X in micrometres, all positive\.$"):
            as_spacing(given, is_2d=False, error=error)
    for flat in ([0.5, 0.25], [3, 0.5, 0.25]):
        assert as_spacing(flat, is_2d=True, error=MovieError) == (1.0, 0.5, 0.25)
    with pytest.raises(MovieError, match="Expected Y,X or Z,Y,X"):
        as_spacing([-3, 0.5, 0.25], is_2d=True, error=MovieError)


def test_nuclei_in_a_plane_are_balls_with_their_cross_section() -> None:
    """However thick the plane; in a stack, they have the volume of their voxels."""
    area = np.pi * 6.0**2
    for thick in (0.1, 1.0, 7.0):
        found = volume_um3([area / (0.5 * 0.25)], frame=(1, 9, 9), spacing_um=(thick, 0.5, 0.25))
        np.testing.assert_allclose(found, [4 / 3 * np.pi * 6.0**3])
    assert volume_um3(10, frame=(2, 9, 9), spacing_um=(2.0, 0.5, 0.25)) == 2.5
