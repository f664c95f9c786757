"""How wide nuclei look is told from balls and discs of known width, from real embryos, and not from noise."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from handmade import frame_statistics
from tlseg.geometry import Box, Grid, Shape, Spacing, ball_radius
from tlseg.predict import nucleus_size
from tlseg.predict.normalise import FrameStatistics
from tlseg.predict.nucleus_size import seen_nucleus_um
from tlseg.predict.tiles import tile_sizes, tile_sums


def balls(
    width_um: float, *, spacing_um: Spacing, shape: Shape, count: int = 8, noise: float = 3.0, seed: int = 0
) -> NDArray[np.uint16]:
    """Bright balls on dark noise; in a single plane, discs."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, noise, shape)
    place = np.stack(np.indices(shape), axis=-1) * np.array(spacing_um)
    size = np.array(shape) * spacing_um
    inset = np.minimum(width_um / 2, size / 2)
    for centre in rng.uniform(inset, size - inset, (count, 3)):
        image[np.linalg.norm(place - centre * (np.array(shape) > 1), axis=-1) < width_um / 2] = rng.uniform(500, 900)
    return image.clip(0, 65535).astype(np.uint16)


def seen(image: NDArray[np.generic], spacing_um: Spacing, *, chunk: Shape = (1, 1, 1)) -> float | None:
    z, y, x = image.shape
    return seen_nucleus_um(
        lambda box: image[box.slices],
        shape=(z, y, x),
        spacing_um=spacing_um,
        statistics=frame_statistics(image),
        chunk=chunk,
    )


@pytest.mark.parametrize(
    ("width_um", "spacing_um", "shape"),
    [
        (20.0, (1.75, 0.8, 0.8), (48, 120, 120)),
        (10.0, (1.0, 0.4, 0.4), (40, 120, 120)),
        (3.0, (0.28, 0.13, 0.13), (60, 100, 100)),
        (60.0, (5.0, 2.0, 2.0), (60, 120, 120)),
        (12.0, (0.5, 0.5, 0.5), (80, 80, 80)),
        (15.0, (1.0, 0.5, 0.5), (1, 300, 300)),
        (6.0, (9.0, 0.25, 0.25), (1, 300, 300)),
    ],
)
def test_balls_and_discs_look_as_wide_as_they_are(width_um: float, spacing_um: Spacing, shape: Shape) -> None:
    found = seen(balls(width_um, spacing_um=spacing_um, shape=shape), spacing_um)
    assert found is not None
    assert 0.75 < found / width_um < 1.4


def test_balls_that_touch_look_no_wider() -> None:
    few, many = (balls(12, spacing_um=(0.8, 0.8, 0.8), shape=(80, 100, 100), count=n) for n in (4, 40))
    alone, crowded = seen(few, (0.8, 0.8, 0.8)), seen(many, (0.8, 0.8, 0.8))
    assert alone is not None
    assert crowded is not None
    assert 0.75 < crowded / alone < 1.6


def test_the_unit_of_length_does_not_matter() -> None:
    image = balls(20, spacing_um=(1.75, 0.8, 0.8), shape=(48, 120, 120))
    once, tenfold = seen(image, (1.75, 0.8, 0.8)), seen(image, (17.5, 8.0, 8.0))
    assert once is not None
    assert tenfold == pytest.approx(10 * once)


@pytest.mark.parametrize("kind", ["normal", "photons", "hot"])
def test_noise_has_no_width(kind: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.poisson(0.5, (40, 120, 120)) if kind == "photons" else rng.normal(100, 10, (40, 120, 120))
    if kind == "hot":
        image[rng.integers(0, 40, 50), rng.integers(0, 120, 50), rng.integers(0, 120, 50)] = 60_000
    assert seen(image.astype(np.uint16), (1.75, 0.8, 0.8)) is None


@pytest.mark.parametrize("most", [2**22, 40_000])
def test_small_nuclei_in_a_large_frame_are_looked_at_closely(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    shape, at = (60, 200, 260), (20, 120, 30)
    rng = np.random.default_rng(1)
    image = rng.normal(100, 3, shape).astype(np.uint16)
    corner = Box(at, (at[0] + 32, at[1] + 48, at[2] + 48))
    image[corner.slices] = balls(10, spacing_um=(0.8, 0.8, 0.8), shape=(32, 48, 48), count=6)
    monkeypatch.setattr(nucleus_size, "MOST_VOXELS", most)
    found = seen(image, (0.8, 0.8, 0.8), chunk=(8, 50, 50))
    assert found is not None
    assert 8 < found < 16


def test_nuclei_that_flow_together_in_steps_are_not_followed() -> None:
    """Each grid looks less than 1.6 times as wide as the one before: a late embryo in haze."""
    seen_in_grids = [(24.3, 0.8), (36.9, 1.6), (44.9, 3.2), (51.4, 6.4)]
    assert nucleus_size._width_in(seen_in_grids) == 36.9


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (2, 2, 2), (1, 1, 30), (30, 1, 1)])
def test_frames_of_few_voxels_have_no_width(shape: Shape) -> None:
    found = seen_nucleus_um(
        lambda box: np.full(box.shape, 500, dtype=np.uint16),
        shape=shape,
        spacing_um=(1.75, 0.8, 0.8),
        statistics=FrameStatistics(100.0, 600.0),
    )
    assert found is None


def test_a_chunk_as_large_as_the_frame_takes_little_memory_more(monkeypatch: pytest.MonkeyPatch) -> None:
    image = balls(20, spacing_um=(1.75, 0.8, 0.8), shape=(64, 160, 160))
    statistics = frame_statistics(image)
    monkeypatch.setattr(nucleus_size, "MOST_VOXELS", 4096)
    tracemalloc.start()
    seen_nucleus_um(
        lambda box: image[box.slices],
        shape=(64, 160, 160),
        spacing_um=(1.75, 0.8, 0.8),
        statistics=statistics,
        chunk=(64, 160, 160),
    )
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < image.nbytes


def test_real_nuclei_look_as_wide_as_people_drew_them(data: Path) -> None:
    spacing = (1.75, 0.8, 0.8)
    ratios = []
    for image in sorted((data / "bbbc050/Images/train/Images").glob("Emb0[1-9]_t*51.tif")):
        truth = tifffile.imread(data / "bbbc050/GroundTruth/train/GroundTruth_QCANet" / image.name)
        sizes = np.unique(truth, return_counts=True)[1][1:]
        drawn = 2 * ball_radius(np.median(sizes) * math.prod(spacing))
        found = seen(tifffile.imread(image), spacing)
        assert found is not None
        ratios.append(found / drawn)
    assert len(ratios) > 30
    assert min(ratios) > 0.7
    assert max(ratios) < 1.3


@pytest.mark.parametrize("read", [(5, 7, 9), (4, 30, 30), (1, 1, 30), (30, 30, 30)])
def test_sums_of_tiles_do_not_depend_on_what_is_read_at_once(read: Shape) -> None:
    shape, tile = (11, 23, 26), (4, 6, 5)
    image = np.random.default_rng(0).integers(0, 100, shape)
    tiles = Grid(shape, tile)
    found = tile_sums(lambda box: image[box.slices], tiles, boxes=Grid(shape, read), of=lambda plane: plane > 50)
    expected = [(image[box.slices] > 50).sum() for box in tiles]
    assert found.ravel().tolist() == expected
    assert tile_sizes(tiles).ravel().tolist() == [box.size for box in tiles]
    blurred = ndimage.uniform_filter(image.astype(float), 3)
    means = tile_sums(
        lambda box: blurred[box.slices], tiles, boxes=Grid(shape, read), of=lambda plane: plane, dtype=np.float64
    )
    np.testing.assert_allclose(means.ravel(), [blurred[box.slices].sum() for box in tiles])
