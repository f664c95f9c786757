"""The outcome of an evaluation: one frozen value, and the same as plain JSON whose keys do not change.

Keys of `Evaluation.to_dict`; an undefined value is null.

===================== ==============================================================================================
key                   meaning
===================== ==============================================================================================
`n_frames`            frames compared; `n_frames_with_truth`: those with a truth object, over which means are taken
`n_truth, n_result`   objects in all frames; `count_bias` = n_result / n_truth - 1
`volume_bias`         foreground voxels of the result / of the truth - 1
`iou_threshold`       of `precision`, `recall` and `f1`
`iou, seg, mucov`     means over images with truth, see `tlseg.evaluate.scores.Scores`; likewise
`pq, rq, sq`
`precision, recall`
`f1`
`pooled`              the same nine keys over all voxels and objects of all frames
`curve`               list of {threshold, precision, recall, f1, pooled_precision, pooled_recall, pooled_f1}
`splits, merges`      whole objects gone wrong, see `tlseg.evaluate.scores.errors_of`
`misses, extras`
`spacing_um`          [z, y, x] used for distances
`detection`           centroids within `tolerance_um`, pooled: tp, fp, fn, precision, recall, f1; and `mean_f1`, the mean
                      over images with truth; null without spacing
`volume_ratio`        volume of the result / of the truth, of objects matched at `iou_threshold`: `n` of them, `median`,
                      `low` and `high` (5 and 95 %); null where none is matched
`tracking`            null where objects are not linked; else det, tra, lnk, ct, tf, n_truth_tracks, n_result_tracks,
                      complete_lineages, n_truth_lineages, cca, hota, `errors` {ns, fn, fp, ed, ea, ec} and `divisions`,
                      a list by `tolerance_frames` 0, 1, ... of {tolerance_frames, n_truth, n_result, correct, precision,
                      recall, f1}
`frames`              list of {t, n_truth, n_result, iou, seg, mucov, pq, f1, splits, merges, misses, extras,
                      detection_f1}
`notes`               what was left out or assumed, in sentences
===================== ==============================================================================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tlseg.evaluate.divisions import DivisionScores
from tlseg.evaluate.scores import CurvePoint, Scores
from tlseg.evaluate.tracking import TrackScores
from tlseg.geometry import Spacing


@dataclass(frozen=True, slots=True)
class FrameRow:
    """Scores of one frame; None where undefined."""

    t: int
    n_truth: int
    n_result: int
    iou: float | None
    seg: float | None
    mucov: float | None
    pq: float | None
    f1: float | None
    splits: int
    merges: int
    misses: int
    extras: int
    detection_f1: float | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """Objects whose centroids lie within `tolerance_um` of each other, one-to-one.

    All are summed over frames, except that `mean_f1` is the mean of the F1 of each image with truth.
    """

    tolerance_um: float
    tp: int
    fp: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float | None
    mean_f1: float | None


@dataclass(frozen=True, slots=True)
class VolumeRatio:
    """Volume of the result over that of the truth, of `n` objects matched at the IoU threshold.

    Attributes
    ----------
    n : int
    median : float
    low, high : float
        Quantiles of 5 and 95 %, linear between neighbours.
    """

    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything one comparison says.

    Attributes
    ----------
    frames : tuple of FrameRow
    mean, pooled : Scores
        Means over images with truth objects, and over all voxels and objects of all frames.
    curve : tuple of CurvePoint
    n_truth, n_result : int
        Objects in all frames.
    count_bias, volume_bias : float or None
        Number of objects, and foreground volume, of the result over the truth's, minus 1.
    splits, merges, misses, extras : int
        See `tlseg.evaluate.scores.errors_of`.
    iou_threshold : float
        Of precision, recall and F1.
    spacing_um : (z, y, x) float or None
    detection : Detection or None
    volume_ratio : VolumeRatio or None
    tracking : TrackScores or None
    divisions : tuple of DivisionScores
        By tolerance in frames; empty without tracking.
    notes : tuple of str
        What was left out or assumed.
    """

    frames: tuple[FrameRow, ...] = field(repr=False)
    mean: Scores
    pooled: Scores
    curve: tuple[CurvePoint, ...] = field(repr=False)
    n_truth: int
    n_result: int
    count_bias: float | None
    volume_bias: float | None
    splits: int
    merges: int
    misses: int
    extras: int
    iou_threshold: float
    spacing_um: Spacing | None
    detection: Detection | None
    volume_ratio: VolumeRatio | None
    tracking: TrackScores | None
    divisions: tuple[DivisionScores, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the keys are listed at the top of this module."""
        tracking = asdict(self.tracking) if self.tracking else None
        if tracking is not None:
            tracking["divisions"] = [asdict(d) for d in self.divisions]
        return {
            "n_frames": len(self.frames),
            "n_frames_with_truth": sum(row.n_truth > 0 for row in self.frames),
            "n_truth": self.n_truth,
            "n_result": self.n_result,
            "count_bias": self.count_bias,
            "volume_bias": self.volume_bias,
            "iou_threshold": self.iou_threshold,
            **asdict(self.mean),
            "pooled": asdict(self.pooled),
            "curve": [asdict(point) for point in self.curve],
            "splits": self.splits,
            "merges": self.merges,
            "misses": self.misses,
            "extras": self.extras,
            "spacing_um": list(self.spacing_um) if self.spacing_um else None,
            "detection": asdict(self.detection) if self.detection else None,
            "volume_ratio": asdict(self.volume_ratio) if self.volume_ratio else None,
            "tracking": tracking,
            "frames": [asdict(row) for row in self.frames],
            "notes": list(self.notes),
        }
