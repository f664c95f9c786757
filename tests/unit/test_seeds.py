"""Seeds: local maxima found in blocks, chosen once per frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima

from tlseg.config import LabelSettings
from tlseg.geometry import Box, Grid, Shape
from tlseg.label.frame import label_frame
from tlseg.label.seeds import Candidates, candidate_halo, candidates, select_seeds, smoothing_window

SHAPE: Shape = (9, 14, 13)
SPACING = (1.75, 0.8, 0.8)


def noise(seed: int, *, values: int = 256) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    centres = (rng.integers(0, values, SHAPE) * (255 // (values - 1))).astype(np.uint8)
    return centres, rng.random(SHAPE) < 0.8


def found_in(
    centres: NDArray[np.uint8], foreground: NDArray[np.bool_], block: Shape, window: Shape, threshold: int
) -> Candidates:
    parts = []
    shape: Shape = (centres.shape[0], centres.shape[1], centres.shape[2])
    for core in Grid(shape, block):
        crop = core.grow(candidate_halo(window)).intersect(Box.of_shape(shape))
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


@pytest.mark.parametrize("window", [(1, 1, 1), (3, 3, 3)])
def test_at_the_threshold_is_high_enough(window: Shape) -> None:
    centres = np.zeros(SHAPE, np.uint8)
    centres[3:6, 5:8, 5:8] = 100
    everywhere = np.ones(SHAPE, dtype=bool)
    assert len(found_in(centres, everywhere, SHAPE, window, 100).position) == 1
    assert len(found_in(centres, everywhere, SHAPE, window, 101).position) == 0


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


def seeds_in(plateau: NDArray[np.bool_], block: Shape, *, distance_um: float = 0.0) -> list[list[int]]:
    """Seeds of a map that is saturated on a plateau and dark around it, cut into blocks."""
    shape: Shape = (plateau.shape[0], plateau.shape[1], plateau.shape[2])
    centres = np.where(plateau, 255, 0).astype(np.uint8)
    found = found_in(centres, np.ones(shape, dtype=bool), block, (1, 1, 1), 128)
    return select_seeds(found, spacing_um=SPACING, distance_um=distance_um).tolist()


def box() -> NDArray[np.bool_]:
    plateau = np.zeros(SHAPE, dtype=bool)
    plateau[3:6, 4:9, 5:8] = True
    return plateau


def ball(radius_um: float, at: tuple[float, float, float] = (13.3, 13.2, 13.4)) -> NDArray[np.bool_]:
    place = np.stack(np.indices((16, 34, 34)), axis=-1) * SPACING
    return np.linalg.norm(place - at, axis=-1) < radius_um


def horseshoe() -> NDArray[np.bool_]:
    """Two arms, further apart than any seed distance, that meet only at their ends."""
    plateau = np.zeros((16, 34, 34), dtype=bool)
    plateau[8, 4:30, 3:5] = plateau[8, 4:30, 28:30] = plateau[8, 28:30, 3:30] = True
    return plateau


@pytest.mark.parametrize("block", [(99, 99, 99), (5, 7, 6), (16, 16, 16), (1, 34, 3)])
@pytest.mark.parametrize(
    "plateau",
    [box(), ball(5), ball(8), ball(8, (12.9, 13.6, 13.6)), ball(12), ball(99), horseshoe()],
    ids=["box", "5 um", "8 um", "8 um, elsewhere", "12 um", "full", "horseshoe"],
)
def test_a_plateau_is_one_seed_whatever_its_shape(plateau: NDArray[np.bool_], block: Shape) -> None:
    assert seeds_in(plateau, block, distance_um=5.0) == np.argwhere(plateau)[:1].tolist()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    block=st.tuples(*[st.integers(1, 7)] * 3),
    full=st.sampled_from([0.05, 0.15, 0.3, 0.7]),
    seed=st.integers(0, 10**6),
)
def test_seeds_of_a_saturated_map_are_the_first_voxels_of_its_pieces(
    shape: Shape, block: Shape, full: float, seed: int
) -> None:
    plateau = np.random.default_rng(seed).random(shape) < full
    pieces, count = ndimage.label(plateau, structure=np.ones((3, 3, 3)))
    firsts = [np.argwhere(pieces == number)[0].tolist() for number in range(1, count + 1)]
    assert seeds_in(plateau, block) == sorted(firsts)


def stepped(shape: Shape, *, steps: int, seed: int) -> NDArray[np.uint8]:
    """A map of few heights: flats of any shape, some of them tops and some not."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), [1, 2, 2])
    span = max(float(np.ptp(smooth)), 1e-9)
    return (50 + np.floor((smooth - smooth.min()) / span * (steps - 1e-6)) * (200 // steps)).astype(np.uint8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 8), st.integers(2, 20), st.integers(2, 20)),
    block=st.tuples(*[st.integers(1, 9)] * 3),
    steps=st.sampled_from([2, 3, 5, 12, 40]),
    seed=st.integers(0, 10**6),
)
def test_seeds_are_the_regional_maxima_in_any_cut(shape: Shape, block: Shape, steps: int, seed: int) -> None:
    centres = stepped(shape, steps=steps, seed=seed)
    # What is lower than any voxel all around, as the map of one height has a maximum too.
    framed = np.pad(centres, 1)
    pieces, count = ndimage.label(local_maxima(framed)[1:-1, 1:-1, 1:-1], structure=np.ones((3, 3, 3)))
    firsts = [np.argwhere(pieces == number)[0].tolist() for number in range(1, count + 1)]
    found = found_in(centres, np.ones(shape, dtype=bool), block, (1, 1, 1), 1)
    assert select_seeds(found, spacing_um=SPACING, distance_um=0.0).tolist() == sorted(firsts)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(block=st.tuples(*[st.integers(1, 9)] * 3), steps=st.sampled_from([2, 4, 10]), seed=st.integers(0, 10**6))
def test_a_plateau_ends_with_the_foreground_and_is_exceeded_by_what_is_outside_too(
    block: Shape, steps: int, seed: int
) -> None:
    shape = (6, 15, 15)
    centres = stepped(shape, steps=steps, seed=seed)
    foreground = np.random.default_rng(seed + 1).random(shape) < 0.7
    top = ndimage.maximum_filter(centres, size=3, mode="nearest")
    firsts = []
    for height in np.unique(centres):
        flat = (centres == height) & foreground
        pieces, count = ndimage.label(flat, structure=np.ones((3, 3, 3)))
        tops = (n for n in range(1, count + 1) if top[pieces == n].max() == height)
        firsts += [np.argwhere(pieces == n)[0].tolist() for n in tops]
    found = found_in(centres, foreground, block, (1, 1, 1), 1)
    assert select_seeds(found, spacing_um=SPACING, distance_um=0.0).tolist() == sorted(firsts)


def test_a_terrace_of_a_nucleus_is_no_second_one() -> None:
    """An elongated nucleus: 180 over half of it, a rise to 200 at its far end."""
    shape = (8, 24, 60)
    regions = np.zeros(shape, dtype=np.uint8)
    regions[2:6, 8:16, 5:55] = 255
    centres = np.zeros(shape, dtype=np.uint8)
    centres[3:5, 10:14, 8:30] = 180
    centres[3:5, 10:14, 30:50] = np.minimum(181 + np.arange(20), 200)
    assert ndimage.label(local_maxima(centres), structure=np.ones((3, 3, 3)))[1] == 1
    for block in (shape, (8, 24, 16), (4, 9, 10)):
        labels = label_frame(regions, centres, spacing_um=SPACING, settings=LabelSettings(), block=block)
        assert np.array_equal(labels, regions > 0)


def test_a_frame_may_hold_terraces_alone() -> None:
    """Everything higher lies outside the foreground."""
    centres = np.array([[[100, 100, 100, 200]]], dtype=np.uint8)
    found = found_in(centres, np.array([[[True, True, True, False]]]), (1, 1, 2), (1, 1, 1), 50)
    assert len(found.position) == 1
    assert select_seeds(found, spacing_um=SPACING, distance_um=1.0).shape == (0, 3)


def test_a_plateau_is_as_near_as_the_nearest_of_its_candidates() -> None:
    """A lower maximum near one end of a plateau is not a seed, although the seed lies at the other end."""
    centres = np.zeros((3, 5, 30), dtype=np.uint8)
    centres[1, 1, 2:12] = centres[0, 1, 12:22] = 255
    centres[1, 4, 2] = 200
    found = found_in(centres, np.ones(centres.shape, dtype=bool), (3, 5, 8), (1, 1, 1), 128)
    assert len(found.position) == 3
    for distance, seeds in ((3.0, [[0, 1, 12]]), (2.0, [[0, 1, 12], [1, 4, 2]])):
        assert select_seeds(found, spacing_um=(1.0, 1.0, 1.0), distance_um=distance).tolist() == seeds


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
