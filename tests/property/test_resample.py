"""Laws of resampling: no voxel depends on the crop, nothing shifts, nothing grows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tlseg.geometry import Box, Shape, Spacing
from tlseg.predict.resample import axis_taps, resample, resampled_shape, source_box

FEW = settings(max_examples=40, deadline=None, derandomize=True)

steps = st.one_of(st.sampled_from([0.5, 0.8, 1.0, 1.6, 1.75, 2.0, 3.5]), st.floats(0.3, 4.0))
spacings = st.tuples(steps, steps, steps)
shapes = st.tuples(*[st.integers(1, 20)] * 3)


def whole(values: NDArray[np.float32], spacing: Spacing, to: Spacing) -> NDArray[np.float32]:
    z, y, x = values.shape
    shape: Shape = (z, y, x)
    box = Box.of_shape(resampled_shape(shape, spacing, to))
    source = source_box(box, shape=shape, spacing=spacing, to=to)
    return resample(values[source.slices], source, box, shape=shape, spacing=spacing, to=to)


@FEW
@given(shapes, spacings, spacings, st.data())
def test_a_voxel_has_the_same_bits_in_any_crop(
    shape: Shape, spacing: Spacing, to: Spacing, data: st.DataObject
) -> None:
    values = np.random.default_rng(1).random(shape, dtype=np.float32)
    everything = whole(values, spacing, to)
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in everything.shape]
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))  # type: ignore[arg-type]
    if not box.size:
        return
    source = source_box(box, shape=shape, spacing=spacing, to=to)
    assert Box.of_shape(shape).contains(source)
    wider = source.grow((data.draw(st.integers(0, 2)), 1, 0)).intersect(Box.of_shape(shape))
    for crop in (source, wider):
        cut = resample(values[crop.slices], crop, box, shape=shape, spacing=spacing, to=to)
        assert cut.tobytes() == everything[box.slices].tobytes()


@FEW
@given(shapes, spacings)
def test_equal_spacing_changes_nothing(shape: Shape, spacing: Spacing) -> None:
    values = np.random.default_rng(2).random(shape, dtype=np.float32)
    assert whole(values, spacing, spacing).tobytes() == values.tobytes()


@FEW
@given(shapes, spacings, spacings, st.floats(-100, 100, width=32))
def test_a_constant_stays_that_constant(shape: Shape, spacing: Spacing, to: Spacing, value: float) -> None:
    result = whole(np.full(shape, value, dtype=np.float32), spacing, to)
    assert np.allclose(result, value, rtol=1e-5, atol=1e-6)


@FEW
@given(shapes, spacings, spacings)
def test_results_lie_between_the_least_and_the_greatest(shape: Shape, spacing: Spacing, to: Spacing) -> None:
    values = np.random.default_rng(3).random(shape, dtype=np.float32)
    result = whole(values, spacing, to)
    assert result.min() >= values.min() - 1e-6
    assert result.max() <= values.max() + 1e-6


@FEW
@given(shapes, spacings, spacings)
def test_the_new_grid_covers_the_frame_and_no_more(shape: Shape, spacing: Spacing, to: Spacing) -> None:
    found = resampled_shape(shape, spacing, to)
    sides = list(zip(shape, found, spacing, to, strict=True))
    if shape[0] == 1:
        assert found[0] == 1
        sides = sides[1:]
    for n, m, s, t in sides:
        assert m * t >= n * s * (1 - 1e-5)
        assert (m - 1) * t < n * s


@FEW
@given(steps, steps, st.integers(30, 60))
def test_taps_are_centred_where_the_voxel_is(spacing: float, to: float, size: int) -> None:
    last = resampled_shape((size, 1, 1), (spacing, 1, 1), (to, 1, 1))[0]
    taps = axis_taps(0, last, size=size, spacing=spacing, to=to)
    assert np.allclose(taps.weight.sum(axis=0), 1, atol=1e-6)
    position = ((taps.index + 0.5) * spacing * taps.weight).sum(axis=0)
    middle = (np.arange(last) + 0.5) * to
    inside = (middle > 2 * max(to, spacing)) & (middle < size * spacing - 2 * max(to, spacing))
    # A triangle of weights sampled coarsely leans by part of an input voxel, never by more.
    assert (np.abs(position - middle)[inside] <= 0.13 * spacing).all()
