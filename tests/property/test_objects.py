"""Laws of measuring: any labels, any cut, the same sums."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tlseg.geometry import Box, Grid, Shape
from tlseg.measure.exact import as_floats, exact_sums
from tlseg.measure.objects import ObjectSums, add_overlaps, add_sums, measure_block, overlaps

FEW = settings(max_examples=40, deadline=None, derandomize=True)

shapes = st.tuples(*[st.integers(1, 9)] * 3)
scenes = st.tuples(shapes, shapes, st.integers(0, 2**32 - 1), st.integers(0, 4))


def measured(labels: NDArray[np.uint32], image: NDArray[np.float32], block: Shape) -> ObjectSums:
    frame = Box.of_shape(labels.shape)  # type: ignore[arg-type]
    parts = []
    for core in Grid(frame.shape, block):
        crop = Box(tuple(max(0, a - 1) for a in core.start), core.stop)  # type: ignore[arg-type]
        here = (labels[crop.slices], image[core.slices])
        parts.append(measure_block(*here, crop=crop, core=core, frame=frame, spacing_um=(2.0, 0.7, 0.9)))
    return add_sums(parts)


@FEW
@given(scenes)
def test_sums_do_not_depend_on_the_cut(scene: tuple[Shape, Shape, int, int]) -> None:
    shape, block, seed, count = scene
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, count + 1, shape).astype(np.uint32)
    image = rng.normal(0, 1000, shape).astype(np.float32)
    whole, cut = measured(labels, image, shape).to_arrays(), measured(labels, image, block).to_arrays()
    assert all(np.array_equal(whole[key], cut[key]) for key in whole)
    assert whole["voxels"].sum() == (labels > 0).sum()
    assert whole["label"].tolist() == [n for n in np.unique(labels).tolist() if n]


@FEW
@given(scenes)
def test_overlaps_do_not_depend_on_the_cut(scene: tuple[Shape, Shape, int, int]) -> None:
    shape, block, seed, count = scene
    rng = np.random.default_rng(seed)
    before, after = (rng.integers(0, count + 1, shape).astype(np.uint32) for _ in range(2))
    whole = add_overlaps([overlaps(before, after)])
    cut = add_overlaps([overlaps(before[c.slices], after[c.slices]) for c in Grid(shape, block)])
    assert np.array_equal(whole, cut)
    assert whole[:, 2].sum() == ((before > 0) & (after > 0)).sum()


@FEW
@given(
    arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.randoms(use_true_random=False),
)
def test_sums_of_floats_are_exact_in_any_order_and_in_any_parts(values: NDArray[np.float32], random: Random) -> None:
    rows = np.array([random.randrange(3) for _ in values], dtype=np.intp)
    cut = random.randrange(len(values) + 1)
    order = np.array(random.sample(range(len(values)), len(values)), dtype=np.intp)
    parts = [exact_sums(rows[part], values[part], 3) for part in (order[:cut], order[cut:])]
    expected = [math.fsum(values[rows == n].astype(np.float64).tolist()) for n in range(3)]
    assert as_floats(parts[0] + parts[1]).tolist() == expected
