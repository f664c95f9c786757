"""Distances, orders and floods: exact in any crop that sees enough, and reported as unknown elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core import caching
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tlseg.geometry import Box, Shape
from tlseg.label import flooding
from tlseg.label.watershed import UNKNOWN, flood, flood_order, open_faces, squared_distance

FRAME = Box.of_shape((12, 14, 13))


def ground(seed: int, *, share: float = 0.9) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(FRAME.shape) < share


@pytest.mark.parametrize("nm", [(1000, 1000, 1000), (1750, 800, 800), (2001, 377, 511), (1, 1, 1)])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.995])
def test_squared_distances_are_exact_integers(nm: Shape, share: float) -> None:
    foreground = ground(1, share=share)
    inside, outside = np.argwhere(foreground), np.argwhere(~foreground)
    expected = np.zeros(FRAME.shape, dtype=np.int64)
    away = (inside[:, None] - outside[None]) * np.array(nm)
    expected[foreground] = (away.astype(np.int64) ** 2).sum(axis=2).min(axis=1)
    assert np.array_equal(squared_distance(foreground, nm), expected)


def test_distances_stay_exact_over_lengths_of_a_whole_embryo() -> None:
    # Millimetres in nanometres: the squares of such lengths fill most of a double's 53 bits.
    nm = (1999, 401, 397)
    rng = np.random.default_rng(5)
    foreground = np.ones((3, 2400, 40), dtype=bool)
    outside = rng.integers(0, foreground.shape, (25, 3))
    foreground[tuple(outside.T)] = False
    some = rng.integers(0, foreground.shape, (400, 3))
    away = cdist(some * np.array(nm), np.argwhere(~foreground) * np.array(nm), "sqeuclidean")
    assert np.array_equal(squared_distance(foreground, nm)[tuple(some.T)], away.min(axis=1).astype(np.int64))


def test_without_background_distances_are_endless() -> None:
    assert (squared_distance(np.ones((3, 4, 5), dtype=bool), (1, 1, 1)) == np.iinfo(np.int64).max).all()
    assert (squared_distance(np.zeros((3, 4, 5), dtype=bool), (1, 1, 1)) == 0).all()


def test_a_crop_never_sees_less_than_the_true_distance() -> None:
    foreground = ground(2, share=0.97)
    crop = Box((3, 2, 4), (9, 10, 12))
    whole = squared_distance(foreground, (1750, 800, 800))[crop.slices]
    cut = squared_distance(foreground[crop.slices], (1750, 800, 800))
    assert (cut >= whole).all()
    assert (cut > whole).any()


@pytest.mark.parametrize("heights", [1, 3, 1000])
def test_two_crops_rank_what_they_share_alike(heights: int) -> None:
    foreground = ground(3, share=0.7)
    relief = -np.random.default_rng(4).integers(0, heights, FRAME.shape)
    a, b = Box((0, 0, 0), (9, 10, 13)), Box((4, 3, 2), (12, 14, 13))
    shared = a.intersect(b)
    ranks = []
    for crop in (a, b, FRAME):
        order = flood_order(relief[crop.slices], foreground[crop.slices])
        inside = order[order > 0]
        assert np.array_equal(np.sort(inside), np.arange(1, foreground[crop.slices].sum() + 1))
        ranks.append(order[shared.inside(crop).slices][foreground[shared.slices]])
    for other in ranks[1:]:
        assert np.array_equal(np.argsort(ranks[0]), np.argsort(other))


def test_open_faces_are_those_inside_the_frame() -> None:
    crop = Box((0, 2, 3), (5, 14, 10))
    expected = np.zeros(crop.shape, dtype=bool)
    expected[-1] = expected[:, 0] = expected[:, :, 0] = expected[:, :, -1] = True
    assert np.array_equal(open_faces(crop, FRAME), expected)
    assert not open_faces(FRAME, FRAME).any()


@pytest.mark.parametrize("seed", range(6))
def test_what_a_crop_knows_is_true(seed: int) -> None:
    rng = np.random.default_rng(seed)
    foreground = ground(seed, share=0.85)
    relief = -rng.integers(0, 6, FRAME.shape)
    markers = np.zeros(FRAME.shape, dtype=np.int32)
    inside = np.argwhere(foreground)
    for number, at in enumerate(inside[rng.choice(len(inside), 12, replace=False)], start=1):
        markers[tuple(at)] = number
    truth = flood(flood_order(relief, foreground), foreground, markers=markers, crop=FRAME, frame=FRAME)
    crop = Box((2, 3, 0), (11, 12, 11))
    here = crop.slices
    flooded = flood(
        flood_order(relief[here], foreground[here]), foreground[here], markers=markers[here], crop=crop, frame=FRAME
    )
    known = flooded != UNKNOWN
    assert np.array_equal(flooded[known], truth[here][known])
    assert (flooded == UNKNOWN).any()
    assert (flooded > 0).any()


def test_a_seed_on_an_open_face_stays_a_seed() -> None:
    foreground = np.ones((4, 4, 4), dtype=bool)
    markers = np.zeros((4, 4, 4), dtype=np.int32)
    markers[0, 1, 1] = 5
    order = flood_order(np.zeros((4, 4, 4), dtype=np.int64), foreground)
    flooded = flood(order, foreground, markers=markers, crop=Box((1, 0, 0), (5, 4, 4)), frame=Box.of_shape((5, 4, 4)))
    assert flooded[0, 1, 1] == 5


def test_what_nothing_reaches_stays_without_a_label() -> None:
    foreground = np.zeros((5, 5, 5), dtype=bool)
    foreground[2, 2, 2] = True
    box = Box.of_shape((5, 5, 5))
    nothing = np.zeros((5, 5, 5), dtype=np.int32)
    order = flood_order(np.zeros((5, 5, 5), dtype=np.int64), foreground)
    assert not flood(order, foreground, markers=nothing, crop=box, frame=box).any()


def test_without_a_folder_to_keep_compiled_code_a_flood_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    again = flooding._compiled(flooding._flood.py_func)
    assert not again.stats.cache_path
    monkeypatch.setattr(flooding, "_flood", again)
    order = np.arange(1, 28, dtype=np.int32).reshape(3, 3, 3)
    labels = np.zeros_like(order)
    labels[1, 1, 1] = 7
    flooding.flood_by_rank(order, labels)
    assert (labels == 7).all()
