"""Channel sums are those of the whole frame, however it is cut and in whatever order parts are added."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.measure import regionprops_table

from tlseg.errors import MovieError
from tlseg.geometry import Grid
from tlseg.measure import channels as module
from tlseg.measure.channels import GreySums, add_grey, means_and_sums, sum_grey
from tlseg.run.measuring.names import channel_keys, columns_of

SHAPE = (9, 20, 17)
DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64", "bool"]


def scene(dtype: str, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels with holes among their numbers, and two channels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 0, 3, 4, 70_000, 2**32 - 1], np.uint32), SHAPE)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        grey = rng.normal(0, 10.0 ** rng.integers(-20, 20, (2, *SHAPE))).astype(kind)
    else:
        least, most = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        grey = rng.integers(least, most, (2, *SHAPE), endpoint=True).astype(kind)
    return labels, list(grey)


def equal(a: GreySums, b: GreySums) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in GreySums.__slots__)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [(1, 1, 1), (4, 7, 5), (9, 20, 3)])
def test_one_block_is_many_in_any_order(dtype: str, block: tuple[int, int, int]) -> None:
    labels, grey = scene(dtype)
    whole = sum_grey(labels, grey)
    parts = [sum_grey(labels[box.slices], [g[box.slices] for g in grey]) for box in Grid(SHAPE, block)]
    found = [part for part in parts if part is not None]
    assert whole is not None
    assert equal(add_grey(found), whole)
    assert equal(add_grey(found[::-1]), whole)


@pytest.mark.parametrize("dtype", DTYPES)
def test_slabs_change_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, grey = scene(dtype)
    whole = sum_grey(labels, grey)
    monkeypatch.setattr(module, "AT_ONCE", 100)
    cut = sum_grey(labels, grey)
    assert whole is not None
    assert cut is not None
    assert equal(cut, whole)


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_they_are_those_of_scikit_image(dtype: str) -> None:
    labels, grey = scene(dtype)
    labels %= 100_000  # scikit-image looks for every number up to the largest
    sums = sum_grey(labels, grey)
    assert sums is not None
    means, totals = means_and_sums(sums)
    for channel, mean, total in zip(grey, means, totals, strict=True):
        theirs = regionprops_table(labels.astype(np.int64), channel, properties=("label", "intensity_mean", "area"))
        np.testing.assert_array_equal(sums.label, theirs["label"])
        np.testing.assert_array_equal(sums.voxels, theirs["area"])
        np.testing.assert_allclose(mean, theirs["intensity_mean"], rtol=1e-13)
        assert total.tolist() == [int(channel[labels == n].sum(dtype=np.int64)) for n in sums.label]


def test_floats_are_summed_without_rounding() -> None:
    labels = np.ones((1, 1, 4), np.uint32)
    sums = sum_grey(labels, [np.array([[[1e30, 1.0, -1e30, 2.0**-140]]], np.float32)])
    assert sums is not None
    assert means_and_sums(sums)[1][0, 0] == 1.0


def test_doubles_are_summed_without_rounding() -> None:
    """As `math.fsum` does, in parts and in any order; `float32` would lose all but their first seven digits."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, SHAPE).astype(np.uint32)
    image = rng.normal(0, 1, SHAPE) * 10.0 ** rng.uniform(-20, 30, SHAPE)
    parts = [sum_grey(labels[box.slices], [image[box.slices]]) for box in Grid(SHAPE, (4, 7, 5))]
    total = means_and_sums(add_grey([part for part in parts if part is not None][::-1]))[1][0]
    assert total.tolist() == [math.fsum(image[labels == n]) for n in (1, 2, 3)]


def test_where_a_voxel_has_no_number_its_nucleus_has_none() -> None:
    labels = np.array([[[1, 1, 2, 2, 0, 3]]], np.uint32)
    image = np.array([[[1, np.nan, 2, 3, np.nan, -np.inf]]], np.float32)
    sums = sum_grey(labels, [image, np.ones_like(image)])
    assert sums is not None
    means, totals = means_and_sums(sums)
    np.testing.assert_array_equal(sums.unknown, [[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(means, [[np.nan, 2.5, np.nan], [1, 1, 1]])
    np.testing.assert_array_equal(totals, [[np.nan, 5, np.nan], [2, 2, 1]])


def test_without_labels_no_channel_is_asked_for() -> None:
    def never() -> np.ndarray:
        pytest.fail("it was read")

    assert sum_grey(np.zeros(SHAPE, np.uint32), (never() for _ in range(2))) is None


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("H2B", "GFP (488)"), ("H2B", "GFP__488_")),
        (("H2B-mCherry", "β-cat/ µ"), ("H2B-mCherry", "_-cat___")),
        (("channel 0", "channel 1"), ("channel0", "channel1")),
        (("channel 2",), ("channel2",)),
        (("GFP", "RFP", "GFP"), ("GFP_channel0", "RFP", "GFP_channel2")),
        (("a b", "a_b"), ("a_b_channel0", "a_b_channel1")),
        (("grey",), ("grey_channel0",)),
    ],
)
def test_a_channel_is_called_as_it_says(names: tuple[str, ...], keys: tuple[str, ...]) -> None:
    assert channel_keys(names, where="movie") == keys
    assert columns_of(keys[0]) == (f"intensity_mean_{keys[0]}", f"intensity_sum_{keys[0]}")


def test_channels_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(MovieError, match=r"several channels .*intensity_mean_a_channel1.*Give them names"):
        channel_keys(("a_channel1", "a", "a"), where="movie")
