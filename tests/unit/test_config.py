"""Settings shared by layers: unknown words are refused, and every way to give frames means the same."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest

from tlseg.config import Frames, LabelSettings, as_frames
from tlseg.errors import ModelError, MovieError
from tlseg.evaluate.api import evaluate
from tlseg.link.settings import LinkSettings
from tlseg.models.bundle import ModelSpec, NetworkSpec
from tlseg.rules import rules_of
from tlseg.simulate.settings import SimulationSettings
from tlseg.train.settings import SampleSettings, TrainSettings


@pytest.mark.parametrize(
    "kind",
    [LabelSettings, LinkSettings, ModelSpec, NetworkSpec, SampleSettings, SimulationSettings, TrainSettings],
)
def test_every_field_of_settings_has_a_rule_except_those_that_check_themselves(kind: type) -> None:
    assert {field.name for field in fields(kind)} - set(rules_of(kind)) <= {"architecture", "samples"}


def test_numbers_of_numpy_are_settings_that_a_record_can_hold() -> None:
    link = LinkSettings(max_gap=np.int64(2), volume_weight=np.float32(0.5), min_cycle_s=np.float64(60))
    assert link == LinkSettings(max_gap=2, volume_weight=0.5, min_cycle_s=60.0)
    shape: Any = tuple(np.array([4, 16, 16]))
    movie = SimulationSettings(frames=np.uint8(3), shape=shape)
    assert json.loads(json.dumps([asdict(link), asdict(movie)]))[1]["shape"] == [4, 16, 16]


@pytest.mark.parametrize(
    "settings", [{"method": "foo"}, {"method": None}, {"relief": "distances"}, {"relief": ["centre"]}], ids=str
)
def test_words_that_no_stage_knows_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"{next(iter(settings))} is .*; expected .* or "):
        LabelSettings(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"region_threshold": 0.5},
        {"centre_threshold": 256},
        {"centre_saddle": 1.5},
        {"halo_um": -1.0},
        {"margin_um": "a"},
    ],
    ids=str,
)
def test_numbers_that_no_map_or_frame_has_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"{next(iter(settings))} is .*; expected a"):
        LabelSettings(**settings)


@pytest.mark.parametrize(
    ("ways", "sides"),
    [
        (("2:5", range(2, 5), slice(2, 5), (2, 5), (np.int64(2), np.uint8(5))), (2, 5)),
        ((":5", slice(5), slice(None, 5, 1), (None, 5)), (None, 5)),
        (("2:", slice(2, None), (2, None)), (2, None)),
        ((":", None, slice(None), (None, None)), (None, None)),
        ((range(2),), (0, 2)),
    ],
    ids=str,
)
def test_frames_mean_one_thing_however_they_are_given(ways: tuple[Any, ...], sides: tuple[Any, Any]) -> None:
    assert {as_frames(way) for way in ways} == {sides}


@pytest.mark.parametrize("text", ["3", "", "5:2", "2:2", ":0", "-2:", ":-1", "1:2:3", "a:b", "1_0:20"])
def test_text_that_is_no_range_of_frames_is_refused(text: str) -> None:
    with pytest.raises(MovieError, match="is not a range of frames"):
        as_frames(text)


@pytest.mark.parametrize(
    "frames", [range(4, 4), range(-1, 4), (3, 1), (0, 1.5), (True, 3), (1, 2, 3), [0, 1], 3, slice("a")]
)
def test_values_that_are_no_range_of_frames_are_refused(frames: Any) -> None:
    with pytest.raises(MovieError, match="is not a range of frames"):
        as_frames(frames)


@pytest.mark.parametrize("frames", [range(0, 9, 2), slice(0, 9, -1)], ids=str)
def test_frames_go_one_by_one(frames: Frames) -> None:
    with pytest.raises(MovieError, match="one by one"):
        as_frames(frames)


def test_a_range_of_two_frames_is_not_its_two_numbers() -> None:
    frames = np.ones((3, 1, 4, 4), np.uint8)
    assert [row.t for row in evaluate(frames, frames, frames=range(1, 3)).frames] == [1, 2]
