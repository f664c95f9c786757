"""Laws of the lattice: every voxel is seen, weights of what sees it add up to one, and blocks are no part of it."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tlseg.geometry import Box, Shape
from tlseg.predict.lattice import Lattice

FEW = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    frame = draw(st.tuples(*[st.integers(1, 60)] * 3))
    window = tuple(multiple * draw(st.integers(1, 32 // multiple)) for _ in range(3))
    overlap = tuple(draw(st.integers(0, w // 2)) for w in window)
    return Lattice(frame, window, overlap, multiple)  # type: ignore[arg-type]


@FEW
@given(lattices())
@example(Lattice((1, 1, 25), (1, 1, 16), (0, 0, 8), 1))  # Evened out, three windows would not hold two overlaps.
@example(Lattice((1, 9, 25), (16, 16, 16), (8, 8, 8), 8))  # Thinner than an overlap.
def test_weights_of_all_windows_add_up_to_one_everywhere(lattice: Lattice) -> None:
    frame = Box.of_shape(lattice.frame)
    total = np.zeros(lattice.frame, dtype=np.float64)
    for number in range(len(lattice)):
        box = lattice.box(number)
        z, y, x = lattice.weights(number)
        weight = z[:, None, None] * y[None, :, None] * x[None, None, :]
        assert weight.shape == box.shape
        assert (weight > 0).all()
        shared = box.intersect(frame)
        total[shared.slices] += weight[shared.inside(box).slices]
    assert np.allclose(total, 1, rtol=0, atol=1e-6)


@FEW
@given(lattices())
def test_windows_have_one_shape_that_networks_take(lattice: Lattice) -> None:
    for side, largest in zip(lattice.shape, lattice.window, strict=True):
        assert side % lattice.multiple == 0
        assert 0 < side <= largest
    assert len(lattice) == np.prod(lattice.counts)
    for number in range(len(lattice)):
        box = lattice.box(number)
        assert box.shape == lattice.shape
        assert min(box.start) >= 0
        # No window lies wholly in the padding.
        assert box.intersect(Box.of_shape(lattice.frame)).size


@FEW
@given(lattices())
def test_evening_out_windows_costs_none(lattice: Lattice) -> None:
    for n, counts, w, o in zip(lattice.frame, lattice.counts, lattice.window, lattice.overlap, strict=True):
        assert counts <= max(1, -(-(n - o) // (w - o)))


@FEW
@given(lattices(), st.data())
def test_touching_windows_are_those_that_hold_a_voxel_of_the_box(lattice: Lattice, data: st.DataObject) -> None:
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in lattice.frame]
    assume(all(a < b for a, b in ends))
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))  # type: ignore[arg-type]
    expected = [i for i in range(len(lattice)) if lattice.box(i).intersect(box).size]
    assert lattice.touching(box) == expected
    assert expected


@FEW
@given(st.tuples(*[st.integers(1, 300)] * 3))
def test_the_lattice_of_a_frame_is_one_thing(frame: Shape) -> None:
    one, other = (Lattice(frame, (64, 128, 128), (16, 32, 32), 8) for _ in range(2))
    assert one == other
    assert [one.box(i) for i in range(len(one))] == [other.box(i) for i in range(len(other))]
