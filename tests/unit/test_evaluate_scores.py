"""Segmentation scores against their definitions, written out naively, and on cases whose answer is known."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tlseg.errors import EvaluationError, LabelError, PlanError
from tlseg.evaluate.api import evaluate
from tlseg.evaluate.matching import count_detections, count_matches, match_objects
from tlseg.evaluate.overlap import Overlap, count_overlap, overlap_of
from tlseg.evaluate.scores import THRESHOLDS, count, errors_of, scores_of

Array = NDArray[Any]


def overlap(truth: Array, result: Array) -> Overlap:
    return overlap_of(count_overlap(truth, result, origin=(0, 0, 0)))


def noisy_pair(seed: int) -> tuple[Array, Array]:
    """A truth of touching boxes, and a result with objects shifted, lost, merged, split and invented."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((4, 24, 24), dtype=np.uint16)
    for label in range(1, 13):
        z, y, x = rng.integers(0, (3, 18, 18))
        truth[z : z + 2, y : y + rng.integers(3, 8), x : x + rng.integers(3, 8)] = label
    result = np.roll(truth, rng.integers(0, 3, 3), (0, 1, 2)).astype(np.uint32)
    result[result == 3] = 0
    result[result == 5] = 6
    result[:, ::2][result[:, ::2] == 8] = 99
    result[0, :2, :2] = 70_000
    return truth, result


def objects(labels: Array) -> list[Array]:
    return [labels == k for k in np.unique(labels) if k]


def iou(a: Array, b: Array) -> float:
    return float((a & b).sum() / (a | b).sum())


def iou_matrix(truth: Array, result: Array) -> Array:
    return np.array([[iou(a, b) for b in objects(result)] for a in objects(truth)])


def naive_seg(truth: Array, result: Array) -> float:
    """Maska et al. 2014."""
    scores = []
    for a in objects(truth):
        holders = [b for b in objects(result) if (a & b).sum() > a.sum() / 2]
        scores.append(iou(a, holders[0]) if holders else 0.0)
    return float(np.mean(scores))


@pytest.mark.parametrize("seed", range(5))
def test_scores_follow_their_definitions(seed: int) -> None:
    truth, result = noisy_pair(seed)
    scores = scores_of(count(overlap(truth, result), iou_threshold=0.3))
    matrix = iou_matrix(truth, result)
    n, m = matrix.shape
    assert scores.iou == iou(truth > 0, result > 0)
    assert scores.seg == pytest.approx(naive_seg(truth, result))
    assert scores.mucov == pytest.approx(naive_seg(result, truth))
    strong = matrix[matrix > 0.5]
    assert scores.pq == pytest.approx(strong.sum() / (len(strong) + (n - len(strong)) / 2 + (m - len(strong)) / 2))
    assert scores.sq == pytest.approx(strong.mean() if len(strong) else 0)
    assert scores.pq == pytest.approx(scores.rq * scores.sq)  # type: ignore[operator]
    rows, columns = linear_sum_assignment(matrix >= 0.3, maximize=True)
    matched = (matrix[rows, columns] >= 0.3).sum()
    assert (scores.precision, scores.recall) == (matched / m, matched / n)
    assert scores.f1 == pytest.approx(2 * matched / (n + m))


@pytest.mark.parametrize("seed", range(5))
def test_curve_is_the_size_of_the_best_matching_and_never_rises(seed: int) -> None:
    truth, result = noisy_pair(seed)
    matrix, pair = iou_matrix(truth, result), overlap(truth, result)
    sizes = [count_matches(pair, threshold) for threshold in THRESHOLDS]
    for threshold, size in zip(THRESHOLDS, sizes, strict=True):
        allowed = (matrix >= threshold) & (matrix > 0)
        rows, columns = linear_sum_assignment(allowed, maximize=True)
        assert size == allowed[rows, columns].sum()
        i, j = match_objects(pair, threshold)
        assert len(i) == size
        assert len(set(i)) == len(set(j)) == size
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_matching_has_the_largest_total_iou_among_the_largest(seed: int) -> None:
    truth, result = noisy_pair(seed)
    matrix, pair = iou_matrix(truth, result), overlap(truth, result)
    value = np.where(matrix >= 0.05, matrix + 100, 0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    i, j = match_objects(pair, 0.05)
    best = matrix[rows, columns][matrix[rows, columns] >= 0.05]
    assert matrix[i, j].sum() == pytest.approx(best.sum())


def test_labels_that_all_touch_each_other_need_no_table_of_all_pairs() -> None:
    # Touching squares, shifted by half a square along y and x: each meets four, so they are one group of pairs.
    side = 40
    truth = np.kron(np.arange(1, side**2 + 1, dtype=np.uint32).reshape(side, side), np.ones((4, 4), np.uint32))[None]
    pair = overlap(truth, np.roll(truth, (2, 2), (1, 2)))
    tracemalloc.start()
    i, j = match_objects(pair, 0.05)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(i) == len(set(i)) == len(set(j)) == side**2
    assert peak < side**4 * 8 / 4  # of a float for each pair


def row(*values: int) -> Array:
    """One row of voxels."""
    return np.array(values, dtype=np.int64)[None, None, :]


CASES: dict[str, tuple[Array, Array, dict[str, Any]]] = {
    "perfect": (row(0, 1, 1, 2), row(0, 7, 7, 5), {"iou": 1, "seg": 1, "mucov": 1, "pq": 1, "f1": 1, "misses": 0}),
    "both empty": (row(0, 0), row(0, 0), {"iou": None, "seg": None, "mucov": None, "pq": None, "f1": None}),
    "nothing found": (
        row(1, 1, 2, 0),
        row(0, 0, 0, 0),
        {"iou": 0, "seg": 0, "mucov": 0, "pq": 0, "precision": 0, "recall": 0, "f1": 0, "misses": 2, "extras": 0},
    ),
    "false positives only": (
        row(0, 0, 0, 0),
        row(1, 1, 2, 0),
        {"iou": 0, "seg": None, "mucov": 0, "pq": 0, "precision": 0, "recall": None, "f1": 0, "misses": 0, "extras": 2},
    ),
    "split in halves": (
        row(0, 1, 1, 1, 1),
        row(0, 1, 1, 2, 2),
        {
            "iou": 1,
            "seg": 0,
            "mucov": 0.5,
            "pq": 0,
            "precision": 0.5,
            "recall": 1,
            "splits": 1,
            "merges": 0,
            "misses": 0,
        },
    ),
    "merge of two": (
        row(0, 1, 1, 2, 2),
        row(0, 9, 9, 9, 9),
        {"iou": 1, "seg": 0.5, "mucov": 0, "precision": 1, "recall": 0.5, "splits": 0, "merges": 1, "extras": 0},
    ),
    "one object, many labels": (
        row(1, 1, 1, 1),
        row(1, 2, 3, 4),
        {"seg": 0, "mucov": 0.25, "f1": 0, "splits": 1, "misses": 0, "extras": 0},
    ),
    "shifted by one": (
        row(1, 1, 1, 0),
        row(0, 1, 1, 1),
        {"iou": 0.5, "seg": 0.5, "mucov": 0.5, "pq": 0, "f1": 1},
    ),
    "no background": (row(1, 1, 2, 2), row(1, 1, 2, 2), {"iou": 1, "seg": 1, "mucov": 1, "pq": 1, "f1": 1}),
    "labels above 65,535": (
        row(0, 70_000, 70_000, 65_536),
        row(0, 1, 1, 2**40),
        {"iou": 1, "seg": 1, "mucov": 1, "pq": 1, "f1": 1},
    ),
    "exactly half is no majority": (
        row(1, 1, 1, 1, 0, 0),
        row(0, 0, 5, 5, 5, 5),
        {"seg": 0, "mucov": 0, "misses": 1, "extras": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_named_cases(case: str) -> None:
    truth, result, expected = CASES[case]
    pair = overlap(truth, result)
    scores = scores_of(count(pair, iou_threshold=0.5))
    found = dict(zip(("splits", "merges", "misses", "extras"), errors_of(pair), strict=True))
    found |= {key: getattr(scores, key) for key in expected if key not in found}
    assert {key: found[key] for key in expected} == expected


def test_means_leave_out_images_without_truth_and_pooled_scores_do_not() -> None:
    truth = np.stack([row(0, 1, 1, 0), row(0, 0, 0, 0), row(0, 0, 0, 0), row(1, 1, 2, 2)])
    result = np.stack([row(0, 1, 1, 0), row(0, 0, 0, 0), row(5, 5, 0, 0), row(0, 0, 0, 0)])
    found = evaluate(result, truth).to_dict()
    assert (found["n_frames"], found["n_frames_with_truth"]) == (4, 2)
    assert found["iou"] == found["seg"] == found["f1"] == 0.5  # the first image is right, the last one missed
    assert found["pooled"]["precision"] == 1 / 2
    assert found["pooled"]["recall"] == 1 / 3
    assert [frame["f1"] for frame in found["frames"]] == [1, None, 0, 0]
    assert found["count_bias"] == pytest.approx(-1 / 3)
    assert found["volume_bias"] == pytest.approx(4 / 6 - 1)


def test_all_empty_has_no_scores() -> None:
    found = evaluate(np.zeros((2, 1, 3, 3), dtype=np.uint8), np.zeros((2, 1, 3, 3), dtype=np.uint8)).to_dict()
    assert found["iou"] is found["pooled"]["f1"] is found["count_bias"] is found["volume_bias"] is None


def test_curve_of_a_perfect_result_is_1_everywhere() -> None:
    truth, _ = noisy_pair(0)
    curve = evaluate(truth, truth).to_dict()["curve"]
    assert [point["threshold"] for point in curve] == list(THRESHOLDS)
    assert {point[key] for point in curve for key in point if key != "threshold"} == {1.0}


def test_detection_is_a_mean_over_images_and_pooled() -> None:
    truth, result = np.zeros((2, 2, 1, 20, 40), int)
    truth[:, :, 2:4, 2:4] = 1
    truth[1, :, 10:12, 10:12], truth[1, :, 10:12, 30:32] = 2, 3
    result[0] = truth[0]
    found = evaluate(result, truth, spacing_um=(1, 1, 1)).detection
    assert found is not None
    assert [found.tp, found.fp, found.fn] == [1, 0, 3]
    assert (found.mean_f1, found.f1) == (0.5, 0.4)


@pytest.mark.parametrize("block", [None, (1, 3, 5), (2, 7, 4)])
def test_volumes_of_matched_objects_are_compared(block: Any) -> None:
    truth, result = np.zeros((2, 1, 2, 10, 60), int)
    for k, width in enumerate((10, 9, 8, 7, 4)):
        truth[0, :, :, 12 * k : 12 * k + 10] = k + 1
        result[0, :, :, 12 * k : 12 * k + width] = k + 1
    found = evaluate(result, truth, block=block).volume_ratio
    assert found is not None
    assert (found.n, found.median) == (4, pytest.approx(0.85))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile([1, 0.9, 0.8, 0.7], (0.05, 0.95))))
    assert evaluate(np.zeros_like(truth), truth).volume_ratio is None


def test_detection_counts_one_to_one_in_micrometres() -> None:
    truth, result = row(1, 0, 0, 0, 2, 0, 0, 0), row(0, 0, 3, 0, 0, 0, 4, 5)
    pair = overlap(truth, result)
    assert count_detections(pair, 2.0, (1.0, 1.0, 1.0)) == 2
    assert count_detections(pair, 1.9, (1.0, 1.0, 1.0)) == 0
    assert count_detections(pair, 1.9, (1.0, 1.0, 0.5)) == 2
    # 3 is near both truths and 4 near one: both are matched only if 3 yields to the truth that has no other.
    assert count_detections(overlap(row(1, 0, 2, 0), row(0, 3, 0, 4)), 1.0, (1.0, 1.0, 1.0)) == 2
    found = evaluate(result, truth, spacing_um=(1.0, 1.0, 1.0), tolerance_um=2.0).to_dict()["detection"]
    assert (found["tp"], found["fp"], found["fn"], found["f1"]) == (2, 1, 0, 0.8)


@pytest.mark.parametrize("seed", range(3))
def test_centroids_are_means_of_positions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, result = rng.integers(0, 3, (3, 4, 5)), np.full((3, 4, 5), 7)  # objects that reach over the ends of rows
    pair = overlap(truth, result)
    for side, labels in ((pair.truth, truth), (pair.result, result)):
        for label, voxels, centroid in zip(side.labels, side.voxels, side.centroids, strict=True):
            positions = np.argwhere(labels == label)
            assert voxels == len(positions)
            np.testing.assert_allclose(centroid, positions.mean(0))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.int64, np.uint64, ">u2", np.float32, float])
def test_any_type_of_whole_numbers_gives_the_same(dtype: Any) -> None:
    truth, result = row(0, 1, 1, 0), row(1, 1, 1, 0)
    assert evaluate(result.astype(dtype), truth.astype(dtype)).to_dict() == evaluate(result, truth).to_dict()


@pytest.mark.parametrize(
    ("result", "truth", "words"),
    [
        (row(0, 1) / 2, row(0, 1), "not whole .float64"),
        (row(0, -1), row(0, 1), "from -1 to 0"),
        (row(0, 1) * np.nan, row(0, 1), "from nan"),
        (row(0, 1) * 2.0**60, row(0, 1), "not whole"),
        (row(0, 1).astype(str), row(0, 1), "Labels are whole numbers"),
        (row(0, 1, 1), row(0, 1), "equal"),
        (np.zeros((3, 1, 2, 2), int), np.zeros((2, 1, 2, 2), int), "3 frames"),
        ([1, 2], row(0, 1), "expected a path or an array"),
    ],
)
def test_what_cannot_be_compared_is_refused(result: Any, truth: Any, words: str) -> None:
    with pytest.raises((EvaluationError, LabelError), match=words):
        evaluate(result, truth)


@pytest.mark.parametrize(
    "setting",
    [
        {"iou": 1.1},
        {"iou": "x"},
        {"tolerance_um": -1.0},
        {"division_tolerance": -1},
        {"division_tolerance": 0.5},
        {"tracking": False},
        {"tracking": "sometimes"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError, match=f"{next(iter(setting))} is .*; expected"):
        evaluate(row(0, 1), row(0, 1), **setting)


@pytest.mark.parametrize("block", [(0, 4, 4), (4, 4), (-4, 4, 4), (4.0, 4, 4), 4, "444"], ids=str)
def test_a_block_that_is_none_is_refused(block: Any) -> None:
    with pytest.raises(PlanError, match="Expected three whole numbers of voxels"):
        evaluate(row(0, 1), row(0, 1), block=block)


def test_frames_choose_a_range() -> None:
    truth = np.stack([row(0, 1), row(1, 1), row(0, 1)])
    assert [r.t for r in evaluate(truth, truth, frames=(1, None)).frames] == [1, 2]
    with pytest.raises(EvaluationError, match="No frame"):
        evaluate(truth, truth, frames=(5, 9))


def test_planes_have_a_spacing_of_two_numbers() -> None:
    plane, stack = np.ones((4, 4), np.uint8), np.ones((3, 4, 4), np.uint8)
    assert evaluate(plane, plane, spacing_um=(2.0, 0.5)).spacing_um == (1.0, 2.0, 0.5)
    assert evaluate(stack, stack, spacing_um=[3, 2, 1]).spacing_um == (3.0, 2.0, 1.0)
    wrong: Any
    for wrong in ((2.0, 0.5), (1.0, 1.0, 0.0), 1.0, "abc"):
        with pytest.raises(EvaluationError, match="Expected Z,Y,X in micrometres"):
            evaluate(stack, stack, spacing_um=wrong)


def test_reading_keeps_to_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from tlseg.evaluate import api

    largest = 0

    class Lazy:
        shape = (2, 8, 9, 10)

        def __getitem__(self, index: Any) -> Array:
            nonlocal largest
            part = np.ones(self.shape, dtype=np.uint8)[index]
            largest = max(largest, part.size)
            return part

    monkeypatch.setattr(api, "BLOCK_VOXELS", 25)
    whole = np.ones(Lazy.shape, dtype=np.uint8)
    assert evaluate(Lazy(), Lazy()).to_dict() == evaluate(whole, whole, block=(8, 9, 10)).to_dict()
    assert 0 < largest <= 25
