"""Grey values of a frame: exact, and the same however it was cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handmade import frame_statistics
from tlseg.errors import MovieError
from tlseg.geometry import Grid
from tlseg.predict.grey_values import GreyValues
from tlseg.predict.normalise import FrameStatistics

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
def test_quantiles_are_the_same_however_values_are_cut(dtype: str, block: tuple[int, int, int]) -> None:
    values = image(dtype)
    parts = [values[core.slices] for core in Grid(SHAPE, block)]
    shares = np.linspace(0, 1, 41).tolist()
    cut, whole = (GreyValues(lambda p=p: p, dtype=dtype) for p in (parts, [values]))  # type: ignore[misc]
    assert cut.at(*shares) == whole.at(*shares)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", ">u2", ">f4"])
@pytest.mark.parametrize("seed", range(4))
def test_quantiles_are_those_of_numpy(dtype: str, seed: int) -> None:
    values = image(dtype, seed)
    shares = [0.0, 0.1, 0.5, 0.999, 1.0]
    found = GreyValues(lambda: [values], dtype=dtype)
    assert found.at(*shares) == [ranked(values, share) for share in shares]
    assert found.voxels == values.size
    for value in (values.min(), values.max(), values[3, 4, 5]):
        assert found.share(float(value)) == (values == value).mean()


def test_only_floats_are_read_again_for_what_is_new() -> None:
    times = {"uint16": 0, "float32": 0}

    def read(dtype: str) -> list[NDArray[np.generic]]:
        times[dtype] += 1
        return [image(dtype)]

    for dtype in times:
        found = GreyValues(lambda dtype=dtype: read(dtype), dtype=dtype)  # type: ignore[misc]
        (most,) = found.at(1.0)
        assert found.at(1.0) == [most]
        assert found.share(most) > 0
    assert times == {"uint16": 1, "float32": 2}


def test_both_zeros_are_one_value() -> None:
    values = np.array([[[-0.0, 0.0, 1.0, -0.0]]], dtype=np.float32)
    assert GreyValues(lambda: [values], dtype="float32").share(0.0) == 0.75


@pytest.mark.parametrize(("scale", "offset"), [(1e-20, 0), (1, 0), (3e30, 0), (1, 20000), (1e-3, -1e3), (1, 2**24)])
def test_floats_are_scaled_as_finely_far_from_zero(scale: float, offset: float) -> None:
    values = (image("float32").astype(np.float64) * scale + offset).astype(np.float32)
    found = frame_statistics(values)
    assert (found.low, found.high) == (ranked(values, 0.5), ranked(values, 0.999))


def test_negative_floats_come_before_positive_ones() -> None:
    ordered = np.array([-3e38, -5.0, -1.0, -1e-30, 0.0, 1e-30, 1.0, 5.0, 3e38], dtype=np.float32)
    shares = [(n + 1) / len(ordered) - 1e-6 for n in range(len(ordered))]
    assert GreyValues(lambda: [ordered[::-1].reshape(1, 3, 3)], dtype="float32").at(*shares) == ordered.tolist()


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
    values[3, 4, 5] = bad
    with pytest.raises(MovieError, match=r"Frame 4 holds NaN or infinite values, in plane z = 3\."):
        frame_statistics(values, frame=4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_constant_frame_is_refused_by_its_number(dtype: str) -> None:
    with pytest.raises(MovieError, match=r"Frame 12 is constant: every voxel is 7\b.*--skip-frames 12"):
        frame_statistics(np.full(SHAPE, 7, dtype=dtype), frame=12)


@pytest.mark.parametrize("values", [(0.0, 1e-40), (1e-41, 1e-40)])
def test_contrast_that_cannot_be_scaled_is_refused(values: tuple[float, float]) -> None:
    frame = np.resize(np.array(values, np.float32), SHAPE)
    with pytest.raises(MovieError, match=r"Frame 12 is almost constant.*--skip-frames 12"):
        frame_statistics(frame, frame=12)


def test_a_frame_with_few_bright_voxels_has_contrast() -> None:
    values = np.full(SHAPE, 10, dtype=np.uint16)
    values[0, 0, 0] = 900
    assert frame_statistics(values) == FrameStatistics(10.0, 900.0)


@pytest.mark.parametrize("dtype", ["int64", "uint32", "float64", "bool"])
def test_other_kinds_of_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(MovieError, match=f"dtype {dtype}"):
        frame_statistics(np.zeros(SHAPE, dtype=dtype))
