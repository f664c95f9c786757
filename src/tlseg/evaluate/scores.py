"""Score one frame, and all of them together.

Every score is a ratio of two sums over objects, so a frame is kept as its sums (`Counts`): a frame's own score divides
them, the mean over images averages those, and the pooled score divides the sums of all frames.

An image without truth objects has no score of its own: an empty result there is correct and changes nothing, and any object
in it counts as a false positive in the pooled scores. An image with truth objects and an empty result scores 0 throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from tlseg.evaluate.matching import count_matches
from tlseg.evaluate.overlap import Overlap

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(21))


@dataclass(frozen=True, slots=True)
class Scores:
    """Segmentation scores, 0 to 1 with 1 the best; None where undefined.

    Attributes
    ----------
    iou
        Foreground: voxels labelled in both over voxels labelled in either.
    seg
        Per truth object, IoU with the result object that holds more than half of it, else 0 (Maska et al. 2014).
    mucov
        Per result object, IoU with the truth object that holds more than half of it, else 0 (Tokuoka et al. 2020).
    pq, rq, sq
        Panoptic quality and its factors, detection and mean IoU of pairs with IoU > 0.5 (Kirillov et al. 2019).
    precision, recall, f1
        Objects matched one-to-one with at least the IoU threshold.
    """

    iou: float | None
    seg: float | None
    mucov: float | None
    pq: float | None
    rq: float | None
    sq: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What one frame (or a sum of frames) adds to the scores.

    Attributes
    ----------
    n_truth, n_result : int
        Objects.
    truth_voxels, result_voxels, shared_voxels : int
        Foreground of each side, and of both.
    seg_sum, mucov_sum : float
        Sum of the scores of the truth objects, of the result objects.
    pq_pairs, pq_sum : int, float
        Pairs with IoU > 0.5 and the sum of their IoU.
    matched : int
        Pairs at the IoU threshold.
    splits, merges, misses, extras : int
        See `errors_of`.
    """

    n_truth: int = 0
    n_result: int = 0
    truth_voxels: int = 0
    result_voxels: int = 0
    shared_voxels: int = 0
    seg_sum: float = 0.0
    mucov_sum: float = 0.0
    pq_pairs: int = 0
    pq_sum: float = 0.0
    matched: int = 0
    splits: int = 0
    merges: int = 0
    misses: int = 0
    extras: int = 0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Precision, recall and F1 at one IoU threshold: means over images with truth, and pooled over objects."""

    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    pooled_precision: float | None
    pooled_recall: float | None
    pooled_f1: float | None


def count(overlap: Overlap, *, iou_threshold: float) -> Counts:
    """Return the sums of one frame."""
    iou = overlap.iou
    strong = iou > 0.5
    splits, merges, misses, extras = errors_of(overlap)
    return Counts(
        n_truth=len(overlap.truth),
        n_result=len(overlap.result),
        truth_voxels=int(overlap.truth.voxels.sum()),
        result_voxels=int(overlap.result.voxels.sum()),
        shared_voxels=int(overlap.voxels.sum()),
        # `fsum` rounds once, so that another order of labels gives the same bits.
        seg_sum=math.fsum(iou[overlap.covers_truth]),
        mucov_sum=math.fsum(iou[overlap.covers_result]),
        pq_pairs=int(strong.sum()),
        pq_sum=math.fsum(iou[strong]),
        matched=count_matches(overlap, iou_threshold),
        splits=splits,
        merges=merges,
        misses=misses,
        extras=extras,
    )


def errors_of(overlap: Overlap) -> tuple[int, int, int, int]:
    """Count what went wrong with whole objects of a frame.

    Returns
    -------
    splits : int
        Truth objects that hold more than half of each of two or more result objects.
    merges : int
        Result objects that hold more than half of each of two or more truth objects.
    misses : int
        Truth objects that neither hold more than half of a result object nor are held so by one.
    extras : int
        The same for result objects.
    """
    i, j, down, up = overlap.i, overlap.j, overlap.covers_result, overlap.covers_truth
    n, m = len(overlap.truth), len(overlap.result)
    tied = down | up
    return (
        int((np.bincount(i[down], minlength=n) > 1).sum()),
        int((np.bincount(j[up], minlength=m) > 1).sum()),
        n - len(np.unique(i[tied])),
        m - len(np.unique(j[tied])),
    )


def scores_of(c: Counts) -> Scores:
    """Divide the sums of a frame, or of many."""
    union = c.truth_voxels + c.result_voxels - c.shared_voxels
    precision, recall, f1 = precision_recall(c.matched, c.n_truth, c.n_result)
    _, _, rq = precision_recall(c.pq_pairs, c.n_truth, c.n_result)
    some = c.n_truth + c.n_result > 0
    return Scores(
        iou=c.shared_voxels / union if some else None,
        seg=c.seg_sum / c.n_truth if c.n_truth else None,
        mucov=c.mucov_sum / c.n_result if c.n_result else (0.0 if c.n_truth else None),
        pq=2 * c.pq_sum / (c.n_truth + c.n_result) if some else None,
        rq=rq,
        sq=c.pq_sum / c.pq_pairs if c.pq_pairs else (0.0 if some else None),
        precision=precision,
        recall=recall,
        f1=f1,
    )


def precision_recall(matched: int, n_truth: int, n_result: int) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1.

    Recall without truth is undefined (None); precision without a result is 0 if there was something to find.
    """
    if not n_truth + n_result:
        return None, None, None
    return (
        matched / n_result if n_result else 0.0,
        matched / n_truth if n_truth else None,
        2 * matched / (n_truth + n_result),
    )


def add_counts(counts: Sequence[Counts]) -> Counts:
    """Sum the counts of many frames."""
    return Counts(**{f.name: sum(getattr(c, f.name) for c in counts) for f in fields(Counts)})


def mean_scores(counts: Sequence[Counts]) -> Scores:
    """Average the scores of the images that have truth objects."""
    each = [scores_of(c) for c in counts if c.n_truth]
    return Scores(**{f.name: mean_of([getattr(s, f.name) for s in each]) for f in fields(Scores)})


def curve_of(matches: Sequence[Sequence[int]], counts: Sequence[Counts]) -> list[CurvePoint]:
    """Precision, recall and F1 over `THRESHOLDS`.

    Parameters
    ----------
    matches : (frames, thresholds) int
        Size of the one-to-one matching of each frame at each threshold.
    counts : (frames,) Counts
    """
    n_truth, n_result = sum(c.n_truth for c in counts), sum(c.n_result for c in counts)
    points = []
    for k, threshold in enumerate(THRESHOLDS):
        each = [
            precision_recall(m[k], c.n_truth, c.n_result) for m, c in zip(matches, counts, strict=True) if c.n_truth
        ]
        precision, recall, f1 = (mean_of([row[column] for row in each]) for column in range(3))
        pooled = precision_recall(sum(m[k] for m in matches), n_truth, n_result)
        points.append(CurvePoint(threshold, precision, recall, f1, *pooled))
    return points


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of the known values; None if there are none."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
