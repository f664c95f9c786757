"""Laws of boxes and grids: cores tile a frame once, and every question about overlap has one answer."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tlseg.geometry import Box, Grid, Shape, spacing_nm, voxels_for

sides = st.integers(1, 24)
shapes = st.tuples(sides, sides, sides)
places = st.tuples(*[st.integers(-10, 30)] * 3)
boxes = st.builds(lambda a, s: Box(a, (a[0] + s[0], a[1] + s[1], a[2] + s[2])), places, shapes)


@given(shapes, shapes)
def test_cores_tile_the_frame_once(frame: Shape, block: Shape) -> None:
    times = np.zeros(frame, dtype=int)
    for core in Grid(frame, block):
        assert core.size > 0
        times[core.slices] += 1
    assert (times == 1).all()


@given(shapes, shapes)
def test_numbers_and_positions_are_inverse(frame: Shape, block: Shape) -> None:
    grid = Grid(frame, block)
    assert [grid.index(grid.position(i)) for i in range(len(grid))] == list(range(len(grid)))


@given(shapes, shapes, boxes)
def test_touching_blocks_are_those_whose_core_meets_the_box(frame: Shape, block: Shape, box: Box) -> None:
    grid = Grid(frame, block)
    assert grid.touching(box) == [i for i, core in enumerate(grid) if core.intersect(box).size]


@given(boxes, boxes)
def test_intersection_is_what_both_contain(a: Box, b: Box) -> None:
    both = a.intersect(b)
    canvas = np.zeros((2, 80, 80, 80), dtype=bool)
    for layer, box in zip(canvas, (a, b), strict=True):
        layer[box.shift((20, 20, 20)).slices] = True
    assert both.size == (canvas[0] & canvas[1]).sum() == b.intersect(a).size
    if both.size:
        assert a.contains(both)
        assert b.contains(both)


@given(boxes, boxes, places)
def test_moving_there_and_back_changes_nothing(a: Box, b: Box, by: Shape) -> None:
    back = (-by[0], -by[1], -by[2])
    assert a.shift(by).shift(back) == a
    assert a.inside(b).shift(b.start) == a
    assert a.grow((1, 2, 3)).contains(a)


@given(st.floats(0, 500), st.tuples(*[st.floats(0.05, 20)] * 3))
def test_voxels_span_the_distance_and_no_more(distance: float, spacing: tuple[float, float, float]) -> None:
    for n, s in zip(voxels_for(distance, spacing), spacing, strict=True):
        assert n * s >= distance * (1 - 1e-6) - 1e-6
        assert (n - 1) * s < distance or n == 0


@given(st.tuples(*[st.floats(0.01, 20)] * 3))
def test_spacing_in_nanometres_is_whole_and_near(spacing: tuple[float, float, float]) -> None:
    for nm, um in zip(spacing_nm(spacing), spacing, strict=True):
        assert isinstance(nm, int)
        assert nm >= 1
        assert abs(nm - um * 1000) <= 0.5
