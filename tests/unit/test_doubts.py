"""What makes a result as a whole doubtful, and what does not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tlseg.measure.doubts import doubt_of_size, doubts, doubts_of
from tlseg.models.derive import nucleus_um

USUAL: dict[str, Any] = {"instances": 144, "fallback": 3}
SIZE: dict[str, Any] = {"median_um": 15.8, "seen_um": 14.9, "seen_in": 7, "learned_um": 16.1, "model": "embryo"}


def test_a_usual_result_gives_no_doubt() -> None:
    assert doubts(**USUAL) == []


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"median_um": None},
        {"learned_um": None},
        {"median_um": 10.5},
        {"median_um": 25},
        {"seen_um": None},
        {"seen_um": 10.5},
    ],
)
def test_nuclei_of_about_the_size_the_model_knows_give_no_doubt(change: dict[str, Any]) -> None:
    assert doubt_of_size(**SIZE | change) is None


def test_noise_is_said() -> None:
    (said,) = doubts(**USUAL | {"fallback": 143})
    assert "143 of 144 instances have no detected centre" in said
    assert doubts(**USUAL | {"instances": 9, "fallback": 9}) == []


@pytest.mark.parametrize(
    ("width_um", "said"), [(4.0, "4.0"), (48.3, "48"), (122.0, "122")], ids=["small", "large", "huge"]
)
def test_nuclei_of_another_size_are_said_with_what_to_do(width_um: float, said: str) -> None:
    end = f"If nuclei are {said} um wide and the voxel spacing is right, try --nucleus-um {said}."
    found = doubt_of_size(**SIZE | {"median_um": width_um})
    assert found == f"The median instance is {said} um wide, but the model 'embryo' expects about 16 um. {end}"
    found = doubt_of_size(**SIZE | {"seen_um": width_um})
    assert found == (f"Nuclei look about {said} um wide in frame 7, but the model 'embryo' expects about 16 um. {end}")
    assert doubts(**USUAL, size=found) == [found]


def test_saturated_frames_are_said() -> None:
    record = {"nuclei": 10, "fallback": 0, "saturated": {"frames": 1, "worst": 7, "share": 0.0123}}
    (said,) = doubts_of(record)
    assert said.startswith("Frame 7 is saturated: 1.2% of all voxels")
    record["saturated"] = {"frames": 1200, "worst": 7, "share": 0.0123}
    assert doubts_of(record)[0].startswith("1,200 frames are saturated; in the worst of them, 7, 1.2% of all voxels")
    assert doubts_of(record | {"saturated": {"frames": 0, "worst": None, "share": 0.0}}) == []


def test_the_record_says_the_same() -> None:
    record = {"nuclei": 144, "fallback": 143, "nucleus_um": {"median": 4.0, "learned": 16.1}, "model": {"name": "m"}}
    assert len(doubts_of(record)) == 2
    assert "The median instance is 4.0 um wide" in doubts_of(record)[1]
    assert "the model 'm' expects about 16 um." in doubts_of(record)[1]
    assert "the model 'folder' expects" in doubts_of(record, model="folder")[1]
    record["nucleus_um"] = {"median": 15.0, "learned": 16.1, "seen": 4.0, "seen_in": 3}
    assert "Nuclei look about 4.0 um wide in frame 3" in doubts_of(record)[1]
    assert doubts_of({"nuclei": 10, "fallback": 0}) == []


def test_centres_that_nobody_looked_for_are_not_missed() -> None:
    record = {"nuclei": 144, "fallback": 144, "fingerprint": {"settings": {"method": "components"}}}
    assert doubts_of(record) == []
    assert len(doubts_of(record | {"fingerprint": {"settings": {"method": "qcanet"}}})) == 1


def test_the_model_s_nuclei_are_measured_as_balls_too() -> None:
    volume_um3 = 4096 * 1.6 * 0.8 * 0.8
    assert nucleus_um((1.6, 0.8, 0.8)) == pytest.approx(20.0, rel=0.01)
    assert 4 / 3 * math.pi * (nucleus_um((1.6, 0.8, 0.8)) / 2) ** 3 == pytest.approx(volume_um3)
