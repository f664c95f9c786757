"""Grey values of a frame: counted in parts, the same however it was cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handmade import frame_statistics
from tlseg.errors import MovieError
from tlseg.geometry import Grid
from tlseg.predict.normalise import FrameStatistics, histogram, statistics

SHAPE = (7, 20, 31)


def image(dtype: str, seed: int = 0) -> NDArray[np.generic]:
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 30.0, SHAPE)
    if dtype in ("int16", "float32"):
        values -= 50
    if dtype == "uint8":
        values = np.clip(values, 0, 255)
    return values.astype(dtype)


def ranked(values: NDArray[np.generic], quantile: float) -> float:
    """Least value that is no smaller than a share `quantile` of all."""
    return float(np.percentile(values, quantile * 100, method="inverted_cdf"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("block", [(3, 7, 8), (1, 1, 31), (9, 9, 9)])
def test_histograms_add_up_over_any_cut(dtype: str, block: tuple[int, int, int]) -> None:
    values = image(dtype)
    parts = [histogram(values[core.slices]) for core in Grid(SHAPE, block)]
    assert np.array_equal(sum(parts), histogram(values))
    assert histogram(values).sum() == values.size
    assert statistics(sum(parts), values.dtype.str, frame=0) == frame_statistics(values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("seed", range(4))
def test_quantiles_of_integers_are_those_of_numpy(dtype: str, seed: int) -> None:
    values = image(dtype, seed)
    found = frame_statistics(values)
    assert found.low == ranked(values, 0.5)
    assert found.high == ranked(values, 0.999)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 3e30])
def test_quantiles_of_floats_are_near(scale: float) -> None:
    values = (image("float32") * scale).astype(np.float32)
    found = frame_statistics(values)
    for got, quantile in ((found.low, 0.5), (found.high, 0.999)):
        expected = ranked(values, quantile)
        assert abs(got - expected) <= abs(expected) / 128


def test_negative_floats_come_before_positive_ones() -> None:
    ordered = np.array([-3e38, -5.0, -1.0, -1e-30, 0.0, 1e-30, 1.0, 5.0, 3e38], dtype=np.float32)
    bins = [int(np.flatnonzero(histogram(v))[0]) for v in ordered.reshape(-1, 1, 1, 1)]
    assert bins == sorted(set(bins))
    below = np.linspace(-9, -1, 1001, dtype=np.float32).reshape(1, 1, -1)
    found = frame_statistics(below)
    assert found.low == pytest.approx(ranked(below, 0.5), rel=1 / 128)
    assert found.high == pytest.approx(ranked(below, 0.999), rel=1 / 128)


def test_the_median_becomes_zero_and_the_brightest_one() -> None:
    values = image("uint16")
    found = frame_statistics(values)
    scaled = found.normalise(values)
    assert scaled.dtype == np.float32
    assert ranked(scaled, 0.5) == 0.0
    assert ranked(scaled, 0.999) == pytest.approx(1.0)
    assert scaled.max() > 1.0  # Nothing is clipped.


def test_normalising_does_not_depend_on_the_cut() -> None:
    values, found = image("uint16"), FrameStatistics(17.0, 143.0)
    part = np.s_[2:5, 3:9, 7:30]
    assert found.normalise(values[part]).tobytes() == found.normalise(values)[part].tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    values = image("float32")
    values[3, 4, 5] = bad  # type: ignore[call-overload]
    with pytest.raises(MovieError, match="NaN or infinite"):
        histogram(values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_constant_frame_is_refused_by_its_number(dtype: str) -> None:
    with pytest.raises(MovieError, match=r"Frame 12 is constant: every voxel is 7\b.*--frames"):
        frame_statistics(np.full(SHAPE, 7, dtype=dtype), frame=12)


def test_a_frame_with_few_bright_voxels_has_contrast() -> None:
    values = np.full(SHAPE, 10, dtype=np.uint16)
    values[0, 0, 0] = 900
    assert frame_statistics(values) == FrameStatistics(10.0, 900.0)


@pytest.mark.parametrize("dtype", ["int64", "uint32", "float64", "bool"])
def test_other_kinds_of_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(MovieError, match=f"dtype {dtype}"):
        histogram(np.zeros(SHAPE, dtype=dtype))
