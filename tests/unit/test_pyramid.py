"""Pyramid layout: one region is one shard at every level, and downsampling does not see how the frame was cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.errors import PlanError
from tlseg.geometry import Box, Grid
from tlseg.store.image.pyramid import (
    Pyramid,
    downsample_labels,
    image_levels,
    plan_pyramid,
    pyramid_like,
    slabs,
)

SIDE = st.integers(1, 3000)
SHAPES = st.tuples(SIDE, SIDE, SIDE)
SPACINGS = st.tuples(*[st.floats(0.1, 5)] * 3)
UNIT = (1.0, 1.0, 1.0)


def downsample_image(image: np.ndarray, factor: tuple[int, int, int]) -> np.ndarray:
    return next(image_levels(image, [factor]))


def check_layout(pyramid: Pyramid) -> None:
    regions = pyramid.regions
    for level, factor in enumerate(pyramid.factors):
        shard, chunk, shape = pyramid.shard(level), pyramid.chunk(level), pyramid.level_shape(level)
        for axis in range(3):
            assert shard[axis] * factor[axis] == pyramid.region[axis]
            assert shard[axis] % chunk[axis] == 0
            assert shape[axis] == -(-pyramid.shape[axis] // factor[axis])
            assert -(-shape[axis] // shard[axis]) == regions.counts[axis]
        last = regions[len(regions) - 1]
        assert pyramid.level_box(last, level).stop == shape


@given(SHAPES, SPACINGS)
@settings(max_examples=200, deadline=None)
def test_a_region_is_one_shard_at_every_level(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    pyramid = plan_pyramid(shape, spacing_um=spacing)
    check_layout(pyramid)
    assert len(set(pyramid.factors)) == len(pyramid.factors)
    assert pyramid.factors[0] == (1, 1, 1)


@given(SHAPES, st.lists(st.tuples(*[st.integers(1, 9)] * 3), max_size=4))
@settings(max_examples=100, deadline=None)
def test_labels_beside_any_image_have_as_many_levels(shape: tuple[int, int, int], steps: list[tuple[int, ...]]) -> None:
    shapes = [shape]
    for step in steps:
        shapes.append(tuple(max(1, n // s) for n, s in zip(shapes[-1], step, strict=True)))  # type: ignore[arg-type]
    pyramid = pyramid_like(shapes, spacing_um=UNIT)
    assert len(pyramid.factors) == len(shapes)
    check_layout(pyramid)


def test_levels_approach_isotropic_voxels() -> None:
    pyramid = plan_pyramid((200, 2048, 2048), spacing_um=(2.0, 0.4, 0.4))
    assert pyramid.factors == ((1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8), (4, 16, 16), (8, 32, 32))
    assert max(pyramid.level_shape(5)[1:]) == 64
    ratios = [max(s) / min(s) for s in map(pyramid.level_spacing_um, range(6))]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 1.5


def test_small_frames_are_one_file_a_level_and_large_ones_few() -> None:
    assert len(plan_pyramid((51, 140, 140), spacing_um=UNIT).regions) == 1
    assert len(plan_pyramid((512, 1024, 1024), spacing_um=UNIT).regions) == 128


def test_2d_frames_keep_one_plane() -> None:
    pyramid = plan_pyramid((1, 512, 512), spacing_um=UNIT)
    assert {f[0] for f in pyramid.factors} == {1}
    assert len(pyramid.factors) == 4


def test_coarse_voxels_sit_in_the_middle_of_what_they_stand_for() -> None:
    pyramid = plan_pyramid((64, 256, 256), spacing_um=(1.0, 1.0, 1.0), translation_um=(5.0, 0.0, 0.0))
    assert pyramid.level_translation_um(0) == (5.0, 0.0, 0.0)
    assert pyramid.level_translation_um(1) == (5.5, 0.5, 0.5)  # centres at 0 and 1 average to 0.5


def random_image(shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    lowest = -100 if dtype == "int16" else 0
    return (np.random.default_rng(sum(shape)).random(shape) * 250 + lowest).astype(dtype)


SMALL = st.tuples(st.integers(1, 19), st.integers(1, 19), st.integers(1, 19))
IMAGES = st.builds(random_image, SMALL, st.sampled_from(["uint8", "uint16", "int16", "float32"]))
FACTORS = st.tuples(*[st.sampled_from([1, 2, 3, 4])] * 3)


@given(IMAGES, FACTORS)
@settings(max_examples=60, deadline=None)
def test_a_coarse_voxel_is_the_mean_of_its_block(image: np.ndarray, factor: tuple[int, int, int]) -> None:
    found = downsample_image(image, factor)
    assert found.dtype == image.dtype
    for place in np.ndindex(found.shape):
        block = image[tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factor, strict=True))].astype(np.float64)
        mean = block.mean()
        expected = mean if image.dtype.kind == "f" else np.floor(mean + 0.5)
        np.testing.assert_allclose(found[place], expected, rtol=1e-6)


@given(IMAGES, st.tuples(*[st.integers(0, 3)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_crop_on_the_lattice_downsamples_like_the_whole(image: np.ndarray, corner: tuple[int, int, int]) -> None:
    factor = (2, 4, 4)
    start = tuple(min(c * 4, n - n % 4) for c, n in zip(corner, image.shape, strict=True))
    if any(s >= n for s, n in zip(start, image.shape, strict=True)):
        return
    crop = image[tuple(slice(s, None) for s in start)]
    coarse = tuple(slice(s // f, None) for s, f in zip(start, factor, strict=True))
    for downsample in (downsample_image, downsample_labels):
        np.testing.assert_array_equal(downsample(crop, factor), downsample(image, factor)[coarse])


@given(IMAGES)
@settings(max_examples=30, deadline=None)
def test_levels_one_from_the_other_equal_levels_from_the_finest(image: np.ndarray) -> None:
    factors = [(1, 1, 1), (1, 2, 2), (2, 4, 4), (6, 4, 12)]
    for factor, level in zip(factors, image_levels(image, factors), strict=True):
        np.testing.assert_allclose(level, downsample_image(image, factor), rtol=1e-6)


def test_coarse_labels_are_labels() -> None:
    labels = np.random.default_rng(0).integers(0, 2**32, (5, 6, 7), dtype=np.uint32)
    assert np.isin(downsample_labels(labels, (2, 2, 2)), labels).all()


@given(SMALL, FACTORS)
@settings(max_examples=60, deadline=None)
def test_coarse_labels_lie_where_the_metadata_put_them(shape: tuple[int, ...], factor: tuple[int, int, int]) -> None:
    """The voxel kept holds the middle of its block, or is the last one if the block is cut short."""
    for axis, (n, f) in enumerate(zip(shape, factor, strict=True)):
        places = np.broadcast_to(np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)]), shape)
        kept = np.moveaxis(downsample_labels(places, factor), axis, 0)[:, 0, 0]
        assert len(kept) == -(-n // f)
        for i, place in enumerate(kept):
            middle = i * f + (f - 1) / 2
            assert abs(place - middle) <= 0.5 or place == n - 1 < middle


@given(SMALL, FACTORS, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_coarse_labels_of_parts_are_those_of_the_whole(
    shape: tuple[int, int, int], factor: tuple[int, int, int], blocks: int
) -> None:
    labels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
    whole = downsample_labels(labels, factor)
    z, y, x = (f * blocks for f in factor)
    for core in Grid(shape, (z, y, x)):
        coarse = tuple(slice(a // f, -(-b // f)) for a, b, f in zip(core.start, core.stop, factor, strict=True))
        np.testing.assert_array_equal(downsample_labels(labels[core.slices], factor), whole[coarse])


@pytest.mark.usefixtures("small_regions")
@pytest.mark.parametrize("box", [((0, 0, 0), (16, 32, 32)), ((0, 0, 8), (32, 32, 32)), ((0, 0, 0), (33, 32, 32))])
def test_a_box_that_shares_a_shard_is_refused(box: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    pyramid = plan_pyramid((48, 96, 96), spacing_um=UNIT)
    with pytest.raises(PlanError, match="multiple of 32"):
        pyramid.check_whole(Box(*box))
    pyramid.check_whole(Box((32, 64, 0), (48, 96, 96)))


SMALL = st.tuples(*[st.integers(1, 40)] * 3)


@given(SMALL, SMALL, st.integers(1, 20_000))
def test_slabs_are_whole_regions_that_tile_the_frame_once_under_the_bound(
    frame: tuple[int, int, int], region: tuple[int, int, int], most_voxels: int
) -> None:
    found = np.zeros(frame, np.uint8)
    for box in slabs(Grid(frame, region), most_voxels=most_voxels):
        found[box.slices] += 1
        assert box.size <= max(most_voxels, int(np.prod(region)))
        for a, b, n, r in zip(box.start, box.stop, frame, region, strict=True):
            assert a % r == 0
            assert b % r == 0 or b == n
    assert (found == 1).all()
