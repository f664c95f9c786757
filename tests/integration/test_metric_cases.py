"""Named cases give the expected scores, and those of two independent programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metric_cases import CASES, look_up
from oracles import by_py_ctcmetrics, by_traccuracy
from tlseg.evaluate.api import evaluate


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_worked_out_by_hand(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = evaluate(*case.write(tmp_path)).to_dict()
    for key, value in case.expected.items():
        assert look_up(found, key) == (value if value is None else pytest.approx(value)), key


def with_tracks() -> list[str]:
    return [name for name, case in CASES.items() if not case.frames]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", with_tracks())
def test_graph_scores_are_those_of_traccuracy(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = evaluate(*case.write(tmp_path)).to_dict()["tracking"]
    expected = by_traccuracy(case.truth, case.result, case.truth_parents, case.result_parents)
    for key, value in expected.items():
        if name == "many objects, one label" and key in ("errors.ns", "det", "tra"):
            continue  # of three objects in one, traccuracy 0.4 counts one split too few
        assert look_up(found, key) == (None if np.isnan(value) else pytest.approx(value)), key


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", with_tracks())
def test_scores_are_those_of_py_ctcmetrics(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if name in ("only false objects", "a gap that is bridged", "a gap in the truth"):
        pytest.skip("py-ctcmetrics wants objects in the truth, and tracks without gaps")
    found = evaluate(*case.write(tmp_path / "ours")).to_dict()
    expected = by_py_ctcmetrics(case.truth, case.result, case.truth_parents, case.result_parents, tmp_path / "theirs")
    assert found["pooled"]["seg"] == pytest.approx(expected.pop("seg"))
    for key, value in expected.items():
        ours = look_up(found["tracking"], key)
        assert ours == (None if value is None else pytest.approx(value)), key
