"""Settings are chosen by their effect on labels, and changed only if that improves the score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tlseg.errors import TrainingError
from tlseg.models.bundle import ModelSpec
from tlseg.train.choose import Example, Quality, choose, quality_of, values_to_try

SPACING = (2.0, 1.0, 1.0)
START = ModelSpec(
    "start", {}, SPACING, region_threshold=0.5, centre_threshold=0.4, centre_smoothing_um=0.0, centre_distance_um=4.0
)


def example(*, blur: float = 0.0, debris: int = 0) -> Example:
    """Two boxes whose region map falls off over `blur` voxels outside them, and specks that are not nuclei."""
    truth = np.zeros((14, 30, 40), dtype=np.uint8)
    truth[3:10, 8:20, 6:17] = 1
    truth[3:10, 8:20, 19:30] = 2
    regions = np.where(truth > 0, 255, 0).astype(np.uint8)
    if blur:
        wide = np.zeros_like(regions)
        wide[2:11, 7:21, 5:31] = 150
        regions = np.maximum(regions, wide)
    for i in range(debris):
        regions[12, 2 + 4 * i, 36] = 255
    centres = np.zeros_like(regions)
    centres[6, 14, 11] = centres[6, 14, 24] = 220
    return Example(regions, centres, truth, SPACING)


def test_a_perfect_model_is_left_as_it_is() -> None:
    choice = choose([example()], START)
    assert choice.spec == START
    assert choice.before == choice.after
    assert choice.after.score > 0.99


def test_nuclei_that_come_out_too_large_get_a_higher_threshold() -> None:
    choice = choose([example(blur=1)], START)
    assert choice.before.volume_bias > 0.3
    assert choice.spec.region_threshold > 150 / 255
    assert abs(choice.after.volume_bias) < 0.01


def test_debris_is_dropped_by_its_volume() -> None:
    choice = choose([example(debris=5)], START)
    assert choice.before.mucov < 0.5
    assert choice.after.mucov > 0.99
    assert choice.spec.minimum_volume_um3 > 0 or choice.spec.minimum_volume_fraction > 0


def test_what_was_chosen_is_what_was_measured() -> None:
    frames = [example(blur=1), example(debris=3)]
    choice = choose(frames, START)
    assert choice.after == quality_of(frames, choice.spec)
    assert choice.before == quality_of(frames, START)
    assert choice.after.score >= choice.before.score


def test_only_settings_in_the_table_are_touched() -> None:
    table = {"minimum_volume_um3": (0.0, 10.0, 20.0)}
    choice = choose([example(blur=1, debris=4)], START, table=table)
    assert choice.spec == replace(START, minimum_volume_um3=choice.spec.minimum_volume_um3)
    assert choice.tried == 3


def test_every_setting_is_tried_in_the_size_of_the_nuclei() -> None:
    small, large = example(), example()
    coarse = replace(large, spacing_um=(4.0, 2.0, 2.0))
    for name in ("centre_smoothing_um", "centre_distance_um"):
        a, b = (np.array(values_to_try([frame])[name]) for frame in (small, coarse))
        assert np.allclose(b, 2 * a, atol=0.11)
    assert all(hasattr(START, name) for name in values_to_try([small]))


@pytest.mark.parametrize("factor", [0.01, 0.1, 1.0, 10.0])
def test_values_differ_for_nuclei_of_any_size(factor: float) -> None:
    values = values_to_try([replace(example(), spacing_um=tuple(factor * s for s in SPACING))])
    for name in ("centre_smoothing_um", "centre_distance_um", "minimum_volume_um3"):
        assert len(set(values[name])) == len(values[name]), name


def test_volume_bias_costs_only_beyond_what_is_allowed() -> None:
    plain = Quality(0.8, 0.8, 0.8, 0.0)
    assert replace(plain, volume_bias=-0.03).score == plain.score
    assert replace(plain, volume_bias=-0.05).score == pytest.approx(plain.score - 0.02)
    assert replace(plain, volume_bias=0.05).score == pytest.approx(plain.score - 0.02)


def test_without_nuclei_there_is_nothing_to_choose() -> None:
    empty = replace(example(), truth=np.zeros((14, 30, 40), dtype=np.uint8))
    with pytest.raises(TrainingError, match="no frames"):
        choose([], START)
    with pytest.raises(TrainingError, match="no nucleus"):
        choose([empty], START)
