"""Maxima that are one nucleus: found by the block that owns the middle between them, the same however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tlseg.config import LabelSettings
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.label.frame import label_frame
from tlseg.label.saddles import SaddleRule
from tlseg.label.seeds import Candidates, candidate_halo, candidates, select_seeds

SPACING: Spacing = (2.0, 1.0, 1.0)
SHAPE: Shape = (12, 40, 36)
FRAME = Box.of_shape(SHAPE)


def hills(*tops: tuple[tuple[int, int, int], int]) -> NDArray[np.uint8]:
    """A centre map with cones of these heights, which fall by 8 a micrometre, on a plain of 10."""
    place = np.stack(np.indices(SHAPE), axis=-1) * np.array(SPACING)
    cones = [h - 8 * np.linalg.norm(place - np.array(at) * np.array(SPACING), axis=-1) for at, h in tops]
    return np.maximum(np.max(cones, axis=0), 10).astype(np.uint8)


def found_in(centres: NDArray[np.uint8], rule: SaddleRule | None, block: Shape, *, width: int = 1) -> Candidates:
    window = (1, width, width)
    halo = candidate_halo(window, rule.halo(SPACING) if rule else (0, 0, 0))
    parts = []
    for core in Grid(SHAPE, block):
        crop = core.grow(halo).intersect(FRAME)
        here = centres[crop.slices]
        options = {"crop": crop, "core": core, "window": window, "threshold": 50}
        parts.append(candidates(here, here > 0, **options, spacing_um=SPACING, rule=rule))
    return Candidates.of_blocks(parts[::-1])


def seeds_of(centres: NDArray[np.uint8], rule: SaddleRule | None) -> list[list[int]]:
    found = found_in(centres, rule, SHAPE)
    return select_seeds(found, spacing_um=SPACING, distance_um=2.0).tolist()


def test_a_shallow_dip_joins_and_a_deep_one_does_not() -> None:
    """Tops of 200 and 180, 8 um apart: the lowest voxel between is 160, 0.889 of the lower one."""
    two = hills(((5, 12, 12), 200), ((5, 20, 12), 180))
    assert seeds_of(two, SaddleRule(0.89, 14.0)) == [[5, 12, 12], [5, 20, 12]]
    assert seeds_of(two, SaddleRule(0.888, 14.0)) == [[5, 12, 12]]
    assert seeds_of(two, SaddleRule(0.888, 7.9)) == [[5, 12, 12], [5, 20, 12]]
    assert seeds_of(two, None) == [[5, 12, 12], [5, 20, 12]]


def test_the_higher_one_stays_wherever_it_lies() -> None:
    assert seeds_of(hills(((5, 12, 12), 180), ((5, 20, 12), 200)), SaddleRule(0.8, 14.0)) == [[5, 20, 12]]


def test_what_is_joined_to_a_seed_is_gone_and_joins_no_more() -> None:
    """A chain: the middle one is part of the highest, the last one only of the middle one, so it is a seed."""
    chain = hills(((5, 8, 12), 200), ((5, 16, 12), 190), ((5, 24, 12), 180))
    rule = SaddleRule(0.8, 9.0)
    assert len(found_in(chain, rule, SHAPE).joined) == 2
    assert seeds_of(chain, rule) == [[5, 8, 12], [5, 24, 12]]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_joined_pairs_do_not_depend_on_the_cut(share: float, seed: int) -> None:
    centres = np.random.default_rng(seed).integers(40, 256, SHAPE).astype(np.uint8)
    rule = SaddleRule(share, 8.0)
    whole = found_in(centres, rule, SHAPE, width=5)
    assert len(whole.position) > 50
    assert len(whole.joined) > 0
    for block in ((3, 5, 7), (12, 1, 36), (4, 13, 12)):
        cut = found_in(centres, rule, block, width=5)
        for name in ("position", "height", "joined"):
            assert np.array_equal(getattr(cut, name), getattr(whole, name)), name


@pytest.mark.parametrize("saddle", [1.0, 0.8])
def test_a_large_nucleus_with_two_maxima_gets_one_label(saddle: float) -> None:
    centres = hills(((5, 16, 18), 200), ((5, 23, 18), 190))
    place = np.stack(np.indices(SHAPE), axis=-1) * np.array(SPACING)
    regions = np.where(np.linalg.norm(place - np.array([10, 19.5, 18]), axis=-1) < 9, 255, 0).astype(np.uint8)
    settings = LabelSettings(centre_smoothing_um=0.0, centre_distance_um=3.0, centre_saddle=saddle)
    for block in (SHAPE, (4, 9, 10)):
        labels = label_frame(regions, centres, spacing_um=SPACING, settings=settings, block=block)
        assert labels.max() == (2 if saddle == 1 else 1)
        assert np.array_equal(labels > 0, regions > 0)
