"""Laws of evaluation: the cut does not matter, names do not matter, truth against itself is perfect."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tlseg.evaluate.api import evaluate

SHAPE = (2, 3, 4, 5)
movies = arrays(np.uint8, SHAPE, elements=st.integers(0, 5))
blocks = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
names = st.lists(st.integers(1, 2**63), min_size=5, max_size=5, unique=True)
options: dict[str, Any] = {"spacing_um": (2.0, 1.0, 1.0), "tolerance_um": 1.5, "tracking": "always"}


def renamed(labels: NDArray[Any], new: list[int]) -> NDArray[np.uint64]:
    return np.array([0, *new], dtype=np.uint64)[labels]


@settings(max_examples=50, deadline=None)
@given(movies, movies, blocks)
def test_figures_do_not_depend_on_the_cut(
    result: NDArray[Any], truth: NDArray[Any], block: tuple[int, int, int]
) -> None:
    whole = evaluate(result, truth, block=SHAPE[1:], **options).to_dict()
    assert evaluate(result, truth, block=block, **options).to_dict() == whole


@settings(max_examples=50, deadline=None)
@given(movies, movies, names, names)
def test_renaming_objects_changes_nothing(
    result: NDArray[Any], truth: NDArray[Any], ours: list[int], theirs: list[int]
) -> None:
    before = evaluate(result, truth, **options).to_dict()
    assert evaluate(renamed(result, ours), renamed(truth, theirs), **options).to_dict() == before


@settings(max_examples=50, deadline=None)
@given(movies, names)
def test_truth_against_itself_is_perfect(truth: NDArray[Any], new: list[int]) -> None:
    found = evaluate(renamed(truth, new), truth, **options).to_dict()
    for scores in (found, found["pooled"], found["detection"]):
        for key in ("iou", "seg", "mucov", "pq", "rq", "sq", "precision", "recall", "f1"):
            assert scores.get(key) in (1.0, None), key
    assert all(found["tracking"][key] in (1.0, None) for key in ("det", "tra", "lnk", "ct", "tf"))
    assert not any(found[key] for key in ("splits", "merges", "misses", "extras"))
    assert (found["f1"] is None) == (not truth.any())


@settings(max_examples=50, deadline=None)
@given(movies, movies)
def test_swapping_sides_mirrors_the_figures(result: NDArray[Any], truth: NDArray[Any]) -> None:
    one, other = evaluate(result, truth, **options).to_dict(), evaluate(truth, result, **options).to_dict()
    assert (one["splits"], one["misses"]) == (other["merges"], other["extras"])
    for key in ("iou", "pq", "f1"):
        assert one["pooled"][key] == other["pooled"][key]
    if truth.any() and result.any():
        assert one["pooled"]["seg"] == other["pooled"]["mucov"]
        assert one["pooled"]["precision"] == other["pooled"]["recall"]


@settings(max_examples=50, deadline=None)
@given(movies, movies)
def test_scores_lie_between_0_and_1(result: NDArray[Any], truth: NDArray[Any]) -> None:
    found = evaluate(result, truth, **options).to_dict()
    tracking = {key: found["tracking"][key] for key in ("det", "tra", "lnk", "ct", "tf")}
    for scores in (found["pooled"], tracking, {k: found[k] for k in found["pooled"]}):
        assert all(value is None or 0 <= value <= 1 for value in scores.values())
