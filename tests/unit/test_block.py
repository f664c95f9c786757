"""The passes of a block, and what happens where a halo is not enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tlseg.config import LabelSettings, byte
from tlseg.errors import RunError
from tlseg.geometry import Box, Grid, Shape, Spacing, voxels_for
from tlseg.label.block import BlockNumbers, FrameNumbers, detect, detect_halo, label_block, number_frame
from tlseg.label.frame import label_frame

SPACING = (1.0, 1.0, 1.0)
PLAIN = LabelSettings(centre_smoothing_um=0.0, centre_distance_um=2.0, halo_um=1.0, margin_um=1.0)
SHAPE: Shape = (6, 8, 40)
FRAME = Box.of_shape(SHAPE)

Map = NDArray[np.uint8]


def bar(*seeds: int) -> tuple[Map, Map]:
    """A bar along x through the frame, with seeds at some x."""
    regions, centres = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    regions[2:5, 2:5, 2:38] = 255
    for x in seeds:
        centres[3, 3, x] = 255
    return regions, centres


def numbers_of(regions: Map, centres: Map, block: Shape, settings: LabelSettings) -> FrameNumbers:
    grid = Grid(SHAPE, block)
    halo = detect_halo(settings, SPACING)
    parts = []
    for core in grid:
        crop = core.grow(halo).intersect(FRAME)
        here = (regions[crop.slices], centres[crop.slices])
        parts.append(detect(*here, crop=crop, core=core, frame=FRAME, spacing_um=SPACING, settings=settings))
    return number_frame(parts, grid, spacing_um=SPACING, settings=settings)


def label(regions: Map, centres: Map, settings: LabelSettings, index: int, **options: Any) -> Any:
    block = (6, 8, 8)
    numbers = numbers_of(regions, centres, block, settings)
    return label_block(
        lambda box: (regions[box.slices], centres[box.slices]),
        numbers.of_block(index),
        core=Grid(SHAPE, block)[index],
        frame=FRAME,
        spacing_um=SPACING,
        settings=settings,
        **options,
    )


def test_a_block_reads_no_further_than_it_must() -> None:
    regions, centres = bar(4, 12, 20, 28, 36)
    near, far = label(regions, centres, PLAIN, 2), label(*bar(4), PLAIN, 4)
    assert near.tries <= far.tries
    assert max(near.halo) < max(far.halo)
    assert near.labels[3, 3, 20 - 16] == 3
    assert set(np.unique(far.labels)) == {0, 1}


def test_a_block_that_cannot_be_certified_in_memory_gives_up_with_a_remedy() -> None:
    with pytest.raises(RunError, match="Check the region threshold") as caught:
        label(*bar(4), PLAIN, 4, most_voxels=1000)
    assert "\n" not in str(caught.value)


def full(*seeds: int) -> tuple[Map, Map]:
    """Foreground everywhere."""
    regions, centres = bar(*seeds)
    return np.full_like(regions, 255), centres


@pytest.mark.parametrize("relief", ["distance", "centre"])
@pytest.mark.parametrize("maps", [bar(4), bar(4, 12, 20, 28, 36), full(2), full(2, 18, 36)])
@pytest.mark.parametrize("halo_um", [1.0, 4.0])
def test_no_more_is_read_than_allowed_for_halo_and_margin(maps: tuple[Map, Map], relief: Any, halo_um: float) -> None:
    settings = replace(PLAIN, relief=relief, halo_um=halo_um)
    free = sizes_read(*maps, settings)
    needed = max(free)
    assert sizes_read(*maps, settings, most_voxels=needed) == free, "what fits is not refused"
    reads: list[int] = []
    with pytest.raises(RunError, match=rf"more than memory allows \({needed - 1}\)"):
        sizes_read(*maps, settings, most_voxels=needed - 1, reads=reads)
    assert reads == free[: free.index(needed)]


def sizes_read(
    regions: Map, centres: Map, settings: LabelSettings, *, reads: list[int] | None = None, **options: Any
) -> list[int]:
    """Voxels of every crop that the middle block of a frame reads to be labelled."""
    sizes = [] if reads is None else reads
    numbers = numbers_of(regions, centres, (6, 8, 8), settings)

    def read(box: Box) -> tuple[Map, Map]:
        sizes.append(box.size)
        return regions[box.slices], centres[box.slices]

    label_block(
        read,
        numbers.of_block(2),
        core=Grid(SHAPE, (6, 8, 8))[2],
        frame=FRAME,
        spacing_um=SPACING,
        settings=settings,
        **options,
    )
    return sizes


@pytest.mark.parametrize("spacing_um", [(1.0, 1.0, 1.0), (6.0, 0.5, 0.5), (2.0, 0.4, 0.8)])
@pytest.mark.parametrize("halo_um", [2.5, 5.0, 20.0])
def test_the_first_crop_is_no_larger_than_planned(spacing_um: Spacing, halo_um: float) -> None:
    """A plan counts four halos along each axis; the margin of settings is half a halo."""
    frame, core = Box.of_shape((90, 200, 200)), Box((40, 90, 90), (48, 98, 98))
    first: list[Box] = []

    def read(box: Box) -> tuple[Map, Map]:
        first.append(box)
        return np.zeros(box.shape, np.uint8), np.zeros(box.shape, np.uint8)

    label_block(
        read,
        BlockNumbers(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)),
        core=core,
        frame=frame,
        spacing_um=spacing_um,
        settings=LabelSettings(halo_um=halo_um, margin_um=halo_um / 2),
    )
    planned = (b + 4 * h for b, h in zip(core.shape, voxels_for(halo_um, spacing_um), strict=True))
    assert all(n <= most for n, most in zip(first[0].shape, planned, strict=True))


@pytest.mark.parametrize("relief", ["distance", "centre"])
def test_a_halo_and_a_margin_of_nothing_grow_too(relief: Any) -> None:
    settings = LabelSettings(relief=relief, centre_smoothing_um=0.0, centre_distance_um=2.0, halo_um=0.0, margin_um=0.0)
    regions, centres = bar(4, 30)
    options = {"spacing_um": SPACING, "settings": settings}
    assert np.array_equal(
        label_frame(regions, centres, block=(6, 8, 8), **options), label_frame(regions, centres, **options)
    )


def test_instances_are_numbered_by_position() -> None:
    regions, centres = bar(30, 4)
    regions[0, 0, :] = 255  # A component of its own, before both seeds, without a seed.
    numbers = numbers_of(regions, centres, (6, 8, 8), PLAIN)
    assert numbers.seeds[:, 2].tolist() == [4, 30]
    assert numbers.labels.tolist() == [2, 3]
    assert numbers.fallback_labels.tolist() == [1]
    assert numbers.total == 3
    assert all(1 in f for f in numbers.fallback)
    assert [int(s.sum()) for s in numbers.seedless] == [1] * 5


def test_small_foreground_without_a_seed_is_dropped_and_large_kept() -> None:
    regions, centres = bar(4)
    regions[0, 0, 0:3] = 255
    regions[0, 7, 4:24] = 255
    settings = LabelSettings(centre_smoothing_um=0.0, minimum_volume_um3=10.0)
    for block in (None, (6, 8, 8), (3, 3, 3)):
        labels = label_frame(regions, centres, spacing_um=SPACING, settings=settings, block=block)
        assert not labels[0, 0].any()
        # Kept although no block of it is large enough by itself.
        assert (labels[0, 7, 4:24] > 0).all()


def test_components_need_no_centres() -> None:
    regions, centres = bar(4, 12, 20)
    settings = LabelSettings(method="components")
    labels = label_frame(regions, centres, spacing_um=SPACING, settings=settings, block=(6, 8, 8))
    assert np.array_equal(labels, (regions > 0).astype(np.uint32))


def test_foreground_begins_at_its_threshold() -> None:
    regions = np.array([126, 127, 128, 129], dtype=np.uint8).reshape(1, 1, 4)
    settings = LabelSettings(method="components", region_threshold=byte(0.5))
    labels = label_frame(regions, np.zeros_like(regions), spacing_um=SPACING, settings=settings)
    assert labels.ravel().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (0.5, 128), (0.2, 51), (1.0, 255), (0.6, 153)])
def test_probabilities_as_bytes(probability: float, expected: int) -> None:
    assert byte(probability) == expected


def test_speed_is_not_part_of_what_decides() -> None:
    assert LabelSettings(halo_um=3.0, margin_um=2.0).deciding() == LabelSettings().deciding()
    assert LabelSettings(region_threshold=3).deciding() != LabelSettings().deciding()
