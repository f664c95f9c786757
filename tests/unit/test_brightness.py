"""Brightness of a frame: that of what is in it, whatever is around it and however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handmade import frame_statistics
from tlseg.geometry import Box, Shape, Spacing
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


def measured(image: NDArray[np.generic], spacing_um: Spacing = SPACING) -> FrameStatistics:
    shape = (image.shape[0], image.shape[1], image.shape[2])
    return measure_brightness(
        lambda box: image[box.slices],
        shape=shape,
        dtype=image.dtype.str,
        spacing_um=spacing_um,
        grid_um=GRID,
        scaling="quantiles",
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
    monkeypatch.setattr(brightness, "SLAB_BYTES", 1)
    assert measured(image) == expected


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
