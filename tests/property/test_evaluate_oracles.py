"""On random movies the scores are those of two independent programs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from metric_cases import Case, look_up, track_rows
from oracles import by_py_ctcmetrics, by_traccuracy
from tlseg.evaluate.api import evaluate

Array = NDArray[Any]

SHAPE = (5, 3, 4)
truths = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
changes = arrays(np.uint8, SHAPE, elements=st.sampled_from([0] * 8 + [1, 2, 3, 4]))
chances = st.integers(0, 2**32)


def without_gaps(labels: Array) -> Array:
    """Number every run of frames of a label anew: Cell Tracking Challenge tracks have no gaps."""
    result, number = np.zeros(labels.shape, np.uint32), 0
    for label in np.unique(labels[labels > 0]):
        there = (labels == label).any(axis=(1, 2))
        for t in np.flatnonzero(there):
            number += t == 0 or not there[t - 1]
            result[t][labels[t] == label] = number
    return result


def families(labels: Array, rng: np.random.Generator) -> Mapping[int, int]:
    """Give some tracks that end one or two of those that begin in the next frame as daughters."""
    rows = track_rows(labels, {})
    parents: dict[int, int] = {}
    for track, _, end, _ in rows.tolist():
        born = [k for k, start, _, _ in rows.tolist() if start == end + 1 and k not in parents]
        if born and rng.random() < 0.7:
            parents |= {int(k): track for k in rng.permutation(born)[: rng.integers(1, 3)]}
    return parents


def scored(truth: Array, change: Array, seed: int) -> tuple[Case, dict[str, Any]]:
    """A pair of movies that is much alike, drawn from blocks of 2 x 2 voxels, and what we say of it."""
    result = np.where(change == 4, 0, np.where(change > 0, change, truth))
    rng = np.random.default_rng(seed)
    ours, theirs = (without_gaps(np.kron(side, np.ones((1, 2, 2), np.uint8))) for side in (result, truth))
    case = Case("", theirs, ours, {}, families(theirs, rng), families(ours, rng))
    with tempfile.TemporaryDirectory() as folder:
        return case, evaluate(*case.write(Path(folder))).to_dict()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=15, deadline=None)
@given(truths, changes, chances)
def test_random_movies_score_as_in_traccuracy(truth: Array, change: Array, seed: int) -> None:
    case, found = scored(truth, change, seed)
    expected = by_traccuracy(case.truth, case.result, case.truth_parents, case.result_parents)
    held = [np.unique(frame[frame > 0]) for frame in case.truth]
    for key, value in expected.items():
        if key in ("errors.ns", "det", "tra") and max(map(len, held)) > 2:
            continue  # of three objects in one, traccuracy 0.4 counts one split too few
        assert look_up(found["tracking"], key) == (None if np.isnan(value) else pytest.approx(value)), key


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=15, deadline=None)
@given(truths, changes, chances)
def test_random_movies_score_as_in_py_ctcmetrics(truth: Array, change: Array, seed: int) -> None:
    case, found = scored(truth, change, seed)
    assume(case.truth.any() and case.result.any())
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "files"
        expected = by_py_ctcmetrics(case.truth, case.result, case.truth_parents, case.result_parents, where)
    assert found["pooled"]["seg"] == pytest.approx(expected.pop("seg"))
    for key, value in expected.items():
        assert look_up(found["tracking"], key) == (None if value is None else pytest.approx(value)), key
