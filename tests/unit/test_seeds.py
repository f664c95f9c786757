"""Seeds: local maxima found in blocks, chosen once per frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tlseg.geometry import Box, Grid, Shape
from tlseg.label.seeds import Candidates, candidate_halo, candidates, select_seeds, smoothing_window

SHAPE: Shape = (9, 14, 13)
FRAME = Box.of_shape(SHAPE)


def noise(seed: int, *, values: int = 256) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    centres = (rng.integers(0, values, SHAPE) * (255 // (values - 1))).astype(np.uint8)
    return centres, rng.random(SHAPE) < 0.8


def found_in(
    centres: NDArray[np.uint8], foreground: NDArray[np.bool_], block: Shape, window: Shape, threshold: int
) -> Candidates:
    parts = []
    for core in Grid(SHAPE, block):
        crop = core.grow(candidate_halo(window)).intersect(FRAME)
        here = (centres[crop.slices], foreground[crop.slices])
        parts.append(candidates(*here, crop=crop, core=core, window=window, threshold=threshold, spacing_um=(1, 1, 1)))
    return Candidates.of_blocks(parts[::-1])


def naive_sums(centres: NDArray[np.uint8], window: Shape) -> NDArray[np.int64]:
    half = [w // 2 for w in window]
    padded = np.pad(centres.astype(np.int64), [(h, h) for h in half], mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, window).sum(axis=(3, 4, 5))


@pytest.mark.parametrize("values", [256, 4, 2])
@pytest.mark.parametrize("window", [(1, 1, 1), (1, 3, 3), (3, 5, 5)])
def test_candidates_do_not_depend_on_the_cut(values: int, window: Shape) -> None:
    centres, foreground = noise(values, values=values)
    whole = found_in(centres, foreground, SHAPE, window, 60)
    assert len(whole.position) > 3
    for block in ((2, 2, 2), (4, 5, 3), (9, 1, 13), (20, 20, 20)):
        cut = found_in(centres, foreground, block, window, 60)
        assert np.array_equal(cut.position, whole.position)
        assert np.array_equal(cut.height, whole.height)


@pytest.mark.parametrize("window", [(1, 1, 1), (3, 5, 5)])
def test_candidates_are_the_maxima_of_box_sums(window: Shape) -> None:
    centres, foreground = noise(7)
    sums = naive_sums(centres, window)
    expected: list[tuple[int, ...]] = []
    for at in np.ndindex(SHAPE):
        around = tuple(slice(max(0, i - 1), i + 2) for i in at)
        highest = foreground[at] and sums[at] == sums[around].max() and sums[at] >= 100 * np.prod(window)
        # Of equal neighbours the first stays.
        if highest and not any(sums[e] == sums[at] and max(np.abs(np.subtract(e, at))) == 1 for e in expected):
            expected.append(at)
    found = found_in(centres, foreground, SHAPE, window, 100)
    assert found.position.tolist() == [list(at) for at in expected]
    assert found.height.tolist() == [sums[at] for at in expected]


def test_a_plateau_is_one_candidate() -> None:
    centres = np.zeros(SHAPE, dtype=np.uint8)
    centres[3:6, 4:9, 5:8] = 255
    found = found_in(centres, np.ones(SHAPE, dtype=bool), (4, 6, 6), (1, 1, 1), 128)
    assert found.position.tolist() == [[3, 4, 5]]


def test_a_plateau_that_begins_outside_the_foreground_is_a_candidate_inside() -> None:
    centres = np.zeros(SHAPE, dtype=np.uint8)
    centres[3:6, 4:9, 5:8] = 255
    foreground = np.zeros(SHAPE, dtype=bool)
    foreground[4:7] = True
    assert found_in(centres, foreground, SHAPE, (1, 1, 1), 128).position.tolist() == [[4, 4, 5]]


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert len(found_in(np.zeros(SHAPE, np.uint8), np.ones(SHAPE, bool), (4, 4, 4), (1, 3, 3), 0).position) == 0
    assert len(found_in(np.full(SHAPE, 255, np.uint8), np.zeros(SHAPE, bool), (4, 4, 4), (1, 3, 3), 0).position) == 0
    assert select_seeds(Candidates.of_blocks([]), spacing_um=(1, 1, 1), distance_um=3).shape == (0, 3)


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.5, 6.0])
def test_seeds_are_chosen_greedily_from_the_highest(distance: float) -> None:
    spacing = np.array([2.0, 0.7, 0.7])
    rng = np.random.default_rng(3)
    position = np.unique(rng.integers(0, 12, (80, 3)), axis=0)
    found = Candidates(position, rng.integers(100, 110, len(position)))
    kept: list[int] = []
    for i in sorted(range(len(position)), key=lambda i: (-found.height[i], i)):
        if all(np.linalg.norm((position[i] - position[j]) * spacing) > distance for j in kept):
            kept.append(i)
    seeds = select_seeds(found, spacing_um=(2.0, 0.7, 0.7), distance_um=distance)
    assert np.array_equal(seeds, position[sorted(kept)])
    for a, b in itertools.combinations(seeds, 2):
        assert np.linalg.norm((a - b) * spacing) > distance


@pytest.mark.parametrize(
    ("side", "expected"), [(0.0, (1, 1, 1)), (1.0, (1, 3, 3)), (2.0, (3, 3, 3)), (3.6, (3, 5, 5)), (5.3, (5, 7, 7))]
)
def test_smoothing_windows_reach_half_their_side_either_way(side: float, expected: Shape) -> None:
    assert smoothing_window(side, (1.75, 0.8, 0.8)) == expected
