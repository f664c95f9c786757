"""Brightness of a frame: that of what is in it, whatever is around it and however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handmade import frame_statistics
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.predict import brightness
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.normalise import FrameStatistics

GRID = (1.6, 0.8, 0.8)
SPACING = (4.0, 2.0, 2.0)
"""Coarse, so that small arrays are wide: a tile is 13 planes of 26 x 26 voxels."""
EMBRYO = (26, 52, 52)


def embryo(*, noise: float = 3.0, seed: int = 0) -> NDArray[np.uint16]:
    """Bright nuclei of several strengths in dark noise, no wider than one neighbourhood."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, noise, EMBRYO)
    for centre in rng.uniform(6, np.array(EMBRYO) - 6, (8, 3)):
        place = np.linalg.norm((np.stack(np.indices(EMBRYO), axis=-1) - centre) * SPACING, axis=-1)
        image += rng.uniform(300, 900) * (place < 7)
    return image.clip(0, 65535).astype(np.uint16)


def wide(field: NDArray[np.uint16], shape: Shape, at: Shape) -> NDArray[np.uint16]:
    """The same in a wider field of the same noise."""
    image = np.random.default_rng(1).normal(100, 3, shape).astype(np.uint16)
    image[Box(at, tuple(a + n for a, n in zip(at, field.shape, strict=True))).slices] = field  # type: ignore[arg-type]
    return image


def measured(image: NDArray[np.generic], spacing_um: Spacing = SPACING, *, chunk: Shape = (1, 1, 1)) -> FrameStatistics:
    shape = (image.shape[0], image.shape[1], image.shape[2])
    return measure_brightness(
        lambda box: image[box.slices],
        shape=shape,
        dtype=image.dtype.str,
        spacing_um=spacing_um,
        grid_um=GRID,
        scaling="quantiles",
        chunk=chunk,
    )


def test_a_frame_as_wide_as_a_neighbourhood_is_taken_whole() -> None:
    image = embryo()
    assert measured(image) == frame_statistics(image)


@pytest.mark.parametrize("at", [(0, 0, 0), (13, 78, 130), (5, 100, 31), (38, 348, 348)])
def test_an_empty_field_around_an_embryo_hardly_changes_it(at: Shape) -> None:
    image = embryo()
    alone, field = measured(image), wide(image, (64, 400, 400), at)
    found = measured(field)
    assert abs(found.low - alone.low) <= 2
    assert found.high == pytest.approx(alone.high, rel=0.25)
    assert frame_statistics(field).high < 0.5 * alone.high  # The whole field would say so: the law is not for nothing.


def test_a_frame_full_of_nuclei_is_taken_whole() -> None:
    image = np.tile(embryo(), (2, 4, 4))
    assert measured(image) == frame_statistics(image)


def test_noise_alone_is_taken_whole() -> None:
    image = wide(embryo()[:1, :1, :1] * 0 + 100, (40, 200, 200), (0, 0, 0))
    assert measured(image) == frame_statistics(image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_how_much_is_read_at_once_changes_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = (wide(embryo(), (40, 200, 200), (3, 9, 70)) / 8).astype(dtype)
    expected = measured(image)
    monkeypatch.setattr(brightness, "READ_BYTES", 20_000)
    assert measured(image) == expected, "parts of planes"
    assert measured(image, chunk=(7, 60, 30)) == expected
    assert measured(image, chunk=(64, 500, 31)) == expected


def share_of(values: NDArray[np.generic], share: float) -> float:
    return float(np.sort(values.ravel())[max(0, int(np.ceil(share * values.size)) - 1)])


def brightest_around_nuclei(image: NDArray[np.uint16]) -> float:
    """The brightest thousandth of tiles in or beside which a hundredth stands out, tile by tile."""
    tiles = Grid((image.shape[0], image.shape[1], image.shape[2]), (13, 26, 26))
    middle, top = share_of(image, 0.5), share_of(image, 1 - 4096 * np.prod(GRID) / np.prod(SPACING) / image.size)
    bright = image > middle + 0.3 * (top - middle)
    full = np.array([bright[core.slices].mean() > 0.01 for core in tiles]).reshape(tiles.counts)
    near = [
        full[tuple(slice(max(0, i - 1), i + 2) for i in tiles.position(number))].any() for number in range(len(tiles))
    ]
    cores = [core for core, chosen in zip(tiles, near, strict=True) if chosen]
    assert 0 < len(cores) < len(tiles)
    return share_of(np.concatenate([image[core.slices].ravel() for core in cores]), 0.999)


@pytest.mark.parametrize("at", [(0, 0, 0), (3, 9, 70), (14, 100, 131)])
@pytest.mark.parametrize("slab_planes", [1, 5, 40])
def test_a_wide_field_is_scaled_by_the_tiles_around_what_is_in_it(
    at: Shape, slab_planes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = wide(embryo(), (40, 190, 200), at)
    monkeypatch.setattr(brightness, "READ_BYTES", slab_planes * image[0].nbytes)
    assert measured(image).high == brightest_around_nuclei(image)


def test_planes_are_read_once_for_each_question_and_not_for_each_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movies are often stored by the plane: reading any part of it decodes all of it."""
    image = wide(embryo(), (60, 200, 200), (3, 9, 70))
    monkeypatch.setattr(brightness, "READ_BYTES", 8 * image[0].nbytes)
    times = np.zeros(len(image), dtype=int)

    def read(box: Box) -> NDArray[np.uint16]:
        assert box.shape[0] <= 8
        times[box.start[0] : box.stop[0]] += 1
        return image[box.slices]

    options = {"dtype": "<u2", "spacing_um": SPACING, "grid_um": GRID, "scaling": "quantiles"}
    found = measure_brightness(read, shape=(60, 200, 200), **options)
    assert found == measured(image)
    assert times.max() == 3, "quantiles of the frame, what stands out in it, quantiles of that"
    assert times.min() == 2, "planes far from all nuclei are not read a third time"


@pytest.mark.parametrize("chunk", [(60, 64, 64), (7, 200, 200), (32, 32, 200)])
def test_no_chunk_is_decoded_twice_for_a_question(chunk: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    image = wide(embryo(), (60, 200, 200), (3, 9, 70))
    monkeypatch.setattr(brightness, "READ_BYTES", 10 * image[0].nbytes)
    chunks = Grid((60, 200, 200), chunk)
    times = np.zeros(len(chunks), dtype=int)

    def read(box: Box) -> NDArray[np.uint16]:
        assert all(a % c == 0 for a, c in zip(box.start, chunk, strict=True))
        times[chunks.touching(box)] += 1
        return image[box.slices]

    options = {"dtype": "<u2", "spacing_um": SPACING, "grid_um": GRID, "scaling": "quantiles", "chunk": chunk}
    assert measure_brightness(read, shape=(60, 200, 200), **options) == measured(image)
    assert times.max() == 3
    assert times.min() == 2


def test_nuclei_a_quarter_as_wide_have_neighbourhoods_a_quarter_as_wide() -> None:
    image = wide(embryo(), (40, 200, 200), (3, 9, 70))
    small = measure_brightness(
        lambda box: image[box.slices],
        shape=(40, 200, 200),
        dtype=image.dtype.str,
        spacing_um=(1.0, 0.5, 0.5),
        grid_um=(0.4, 0.2, 0.2),
        scaling="quantiles",
    )
    assert small == measured(image)
    assert small.high > 2 * frame_statistics(image).high
