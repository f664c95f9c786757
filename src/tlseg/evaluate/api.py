"""Compare a result with the truth, frame by frame and block by block, and say how good it is.

No more than one block of each side is in memory; what is kept of a frame are its counts and its objects' labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from tlseg.config import Frames
from tlseg.errors import EvaluationError
from tlseg.evaluate.divisions import DivisionScores, score_divisions
from tlseg.evaluate.lineage import TrackGraph, graph_of_labels, graph_of_links, graph_of_tracks, require_tracks
from tlseg.evaluate.matching import count_detections, count_matches, match_objects
from tlseg.evaluate.overlap import Floats, Ids, Ints, Overlap, add_up, count_overlap, overlap_of
from tlseg.evaluate.pairing import pair
from tlseg.evaluate.report import Detection, FrameRow, VolumeRatio
from tlseg.evaluate.report import Evaluation as Evaluation
from tlseg.evaluate.scores import (
    THRESHOLDS,
    Counts,
    add_counts,
    count,
    curve_of,
    mean_of,
    mean_scores,
    precision_recall,
    scores_of,
)
from tlseg.evaluate.tracking import TrackScores, score_tracks
from tlseg.geometry import Box, Grid, Shape, Spacing, as_block, as_spacing, slab
from tlseg.rules import at_least, between, one_of, whole
from tlseg.store.labels.label_movie import LabelMovie
from tlseg.store.labels.values import as_labels

Tracking = Literal["auto", "always", "never"]

BLOCK_VOXELS = 2**25
"""Most voxels of one side in memory at a time, unless one chunk has more."""


def evaluate(
    result: Any,
    truth: Any,
    *,
    name: str | None = None,
    iou: float = 0.5,
    tolerance_um: float = 5.0,
    division_tolerance: int = 1,
    frames: Frames | None = None,
    axes: str | None = None,
    spacing_um: Sequence[float] | None = None,
    tracking: Tracking = "auto",
    block: Shape | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Compare labels with true labels.

    Parameters
    ----------
    result, truth : path, URL, Result, array or LabelMovie
        A label TIFF, a folder of label TIFFs, a Cell Tracking Challenge folder, an OME-Zarr with labels, what
        `open_result` gave, or an array of whole numbers (y, x), (z, y, x) or (t, z, y, x); 0 is background. Truth whose
        file names carry frame numbers and that has no track file may have fewer frames than the result: the others are
        left out.
    name : str, optional
        Label image of the result, which must be an OME-Zarr; by default `nuclei`, or the only one. Of the truth it is
        `truth`, or else this name, or the only one; give the path of a label image to choose another.
    iou : float
        Smallest IoU, 0 to 1, at which two objects match, for precision, recall, F1 and divisions.
    tolerance_um : float
        Largest distance of two centroids, in micrometres, that are one detection.
    division_tolerance : int
        Largest number of frames a division may be early or late.
    frames : str, range, slice or (first, end), optional
        Frames to compare, from A up to but not including B: "A:B", `range(A, B)`, `slice(A, B)` or (A, B); either end may be
        left open. By default all, or those that the run segmented. Labels of part of a movie use that movie's frame numbers
        if the truth does too.
    axes : str, optional
        Axes of plain TIFFs and arrays, slowest first, such as "tyx"; by default those they name, or the last of t, z, y, x.
    spacing_um : (z, y, x) or, in 2D, (y, x) float, optional
        Micrometres per voxel; by default what the truth says, or else the result.
    tracking : {"auto", "always", "never"}
        Whether to score tracks: if both sides have a track file or graph (auto), or also without one, taking each label for
        one object through time (always), or not at all (never).
    block : (z, y, x) int, optional
        Voxels read at a time. No score depends on it.
    progress : callable, optional
        Called with (done, total) frames.

    Returns
    -------
    Evaluation
        `to_dict` lists all figures.

    Raises
    ------
    EvaluationError
        When frames or shapes do not fit together, or a setting is out of range.
    MovieError
        When `frames` is not a valid range of frames.
    PlanError
        When `block` is not a valid block size.
    LabelError
        When a side cannot be read.
    """
    between(0, 1).check("iou", iou, error=EvaluationError)
    at_least(0).check("tolerance_um", tolerance_um, error=EvaluationError)
    whole(0).check("division_tolerance", division_tolerance, error=EvaluationError)
    one_of(*get_args(Tracking)).check("tracking", tracking, error=EvaluationError)
    if block is not None:
        block = as_block(block)
    ours, theirs, chosen, notes = pair(result, truth, name=name, axes=axes, frames=frames)
    if spacing_um is None:
        spacing = _spacing(ours, theirs, notes)
    else:
        spacing = as_spacing(spacing_um, is_2d=theirs.frame_shape(chosen[0])[0] == 1, error=EvaluationError)
    tracked = (theirs, ours) if _are_tracked(ours, theirs, len(chosen), tracking, notes) else ()
    sides = [_Tracked(side, side.tracks()) for side in tracked]
    tally = _Tally(iou, tolerance_um, spacing)
    progress(0, len(chosen))
    for done, t in enumerate(chosen, start=1):
        overlap = _overlap(ours, theirs, t, block)
        for side, objects in zip(sides, (overlap.truth, overlap.result), strict=False):
            side.check(t, objects.labels)
        tally.add(t, overlap)
        progress(done, len(chosen))
    tracks, divisions = _tracking(sides, tally, division_tolerance)
    return _evaluation(tally, tracks, divisions, notes)


@dataclass(frozen=True, slots=True)
class _Tracked:
    """One side and its track file, where it has one."""

    movie: LabelMovie
    tracks: pd.DataFrame | None

    def check(self, frame: int, labels: Ids) -> None:
        """Refuse a label without a track at the first frame that shows it, not after all frames were read."""
        if self.tracks is not None:
            require_tracks(np.full(len(labels), frame), labels, self.tracks, where=str(self.movie.track_file))

    def graph(self, frame: Ints, label: Ids) -> TrackGraph:
        if self.tracks is not None:
            return graph_of_tracks(frame, label, self.tracks, where=str(self.movie.track_file))
        if (links := self.movie.links()) is not None:
            return graph_of_links(frame, label, links)
        return graph_of_labels(frame, label)


@dataclass(slots=True)
class _Tally:
    """What is kept of the frames seen so far."""

    iou: float
    tolerance_um: float
    spacing_um: Spacing | None
    frames: list[int] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    matches: list[list[int]] = field(default_factory=list)
    detected: list[int] = field(default_factory=list)
    n_truth: int = 0
    n_result: int = 0
    truth_labels: list[Ids] = field(default_factory=list)
    result_labels: list[Ids] = field(default_factory=list)
    holders: list[Ints] = field(default_factory=list)
    pairs: list[tuple[Ints, Ints]] = field(default_factory=list)
    volume_ratios: list[Floats] = field(default_factory=list)

    def add(self, frame: int, overlap: Overlap) -> None:
        self.frames.append(frame)
        self.counts.append(count(overlap, iou_threshold=self.iou))
        self.matches.append([count_matches(overlap, threshold) for threshold in THRESHOLDS])
        if self.spacing_um is not None:
            self.detected.append(count_detections(overlap, self.tolerance_um, self.spacing_um))
        held = overlap.covers_truth
        holder = np.full(len(overlap.truth), -1, dtype=np.int64)
        holder[overlap.i[held]] = overlap.j[held] + self.n_result
        i, j = match_objects(overlap, self.iou)
        self.holders.append(holder)
        self.pairs.append((i + self.n_truth, j + self.n_result))
        self.volume_ratios.append(overlap.result.voxels[j] / overlap.truth.voxels[i])
        self.truth_labels.append(overlap.truth.labels)
        self.result_labels.append(overlap.result.labels)
        self.n_truth += len(overlap.truth)
        self.n_result += len(overlap.result)

    def nodes(self, labels: list[Ids]) -> tuple[Ints, Ids]:
        frame = np.repeat(np.asarray(self.frames, dtype=np.int64), [len(part) for part in labels])
        return frame, np.concatenate(labels)


def _overlap(result: LabelMovie, truth: LabelMovie, frame: int, block: Shape | None) -> Overlap:
    parts = (
        count_overlap(_read(truth, frame, box), _read(result, frame, box), origin=box.start)
        for box in _boxes(result, truth, frame, block)
    )
    return overlap_of(add_up(parts))


def _read(movie: LabelMovie, frame: int, box: Box) -> npt.NDArray[np.generic]:
    return as_labels(movie.read(frame, box), where=f"{movie.source}, frame {frame}")


def _boxes(result: LabelMovie, truth: LabelMovie, frame: int, block: Shape | None) -> Iterable[Box]:
    shape = result.frame_shape(frame)
    if planes := truth.planes.get(frame):
        return (Box((z, 0, 0), (z + 1, *shape[1:])) for z in planes)
    return iter(Grid(shape, block or slab(shape, unit=result.chunk or truth.chunk or (1, 1, 1), most=BLOCK_VOXELS)))


def _spacing(result: LabelMovie, truth: LabelMovie, notes: list[str]) -> Spacing | None:
    spacing = truth.spacing_um or result.spacing_um
    if spacing is None:
        notes.append(
            "Neither side gives its voxel spacing, so detection by distance was left out. Give it with --spacing Z,Y,X "
            "(Y,X in 2D)."
        )
    elif truth.spacing_um and result.spacing_um and not np.allclose(truth.spacing_um, result.spacing_um, rtol=0.01):
        notes.append(
            f"The result's spacing is {result.spacing_um} um, the truth's {truth.spacing_um} um; the truth's was used."
        )
    return spacing


def _are_tracked(
    result: LabelMovie,
    truth: LabelMovie,
    n_frames: int,
    wanted: Tracking,
    notes: list[str],
) -> bool:
    """Whether tracks are to be compared; if they were expected and are not, a note says why."""
    if wanted == "never" or (wanted == "auto" and n_frames < 2):
        return False
    if truth.planes:
        notes.append("Tracks were not compared: the truth labels single planes.")
        return False
    silent = [side for side, m in (("result", result), ("truth", truth)) if m.track_file is None and m.geff is None]
    if silent and wanted == "auto":
        notes.append(
            f"Tracks were not compared: no track file or graph with the {' and the '.join(silent)}. If the labels are track "
            "numbers, use --tracking."
        )
        return False
    return True


def _tracking(sides: list[_Tracked], tally: _Tally, tolerance: int) -> tuple[TrackScores | None, list[DivisionScores]]:
    if not sides:
        return None, []
    labels = (tally.truth_labels, tally.result_labels)
    theirs, ours = (side.graph(*tally.nodes(part)) for side, part in zip(sides, labels, strict=True))
    pairs = (np.concatenate([i for i, _ in tally.pairs]), np.concatenate([j for _, j in tally.pairs]))
    scores = score_tracks(theirs, ours, np.concatenate(tally.holders))
    return scores, score_divisions(theirs, ours, pairs, tolerance_frames=tolerance)


def _evaluation(
    tally: _Tally, tracks: TrackScores | None, divisions: list[DivisionScores], notes: list[str]
) -> Evaluation:
    total = add_counts(tally.counts)
    return Evaluation(
        frames=tuple(_rows(tally)),
        mean=mean_scores(tally.counts),
        pooled=scores_of(total),
        curve=tuple(curve_of(tally.matches, tally.counts)),
        n_truth=total.n_truth,
        n_result=total.n_result,
        count_bias=total.n_result / total.n_truth - 1 if total.n_truth else None,
        volume_bias=total.result_voxels / total.truth_voxels - 1 if total.truth_voxels else None,
        splits=total.splits,
        merges=total.merges,
        misses=total.misses,
        extras=total.extras,
        iou_threshold=tally.iou,
        spacing_um=tally.spacing_um,
        detection=_detection(tally, total),
        volume_ratio=_volume_ratio(tally),
        tracking=tracks,
        divisions=tuple(divisions),
        notes=tuple(notes),
    )


def _rows(tally: _Tally) -> Iterator[FrameRow]:
    detected = _detection_f1(tally)
    for t, counts, near in zip(tally.frames, tally.counts, detected, strict=True):
        s = scores_of(counts)
        wrong = (counts.splits, counts.merges, counts.misses, counts.extras)
        yield FrameRow(t, counts.n_truth, counts.n_result, s.iou, s.seg, s.mucov, s.pq, s.f1, *wrong, near)


def _detection(tally: _Tally, total: Counts) -> Detection | None:
    if tally.spacing_um is None:
        return None
    found = sum(tally.detected)
    precision, recall, f1 = precision_recall(found, total.n_truth, total.n_result)
    each = [f1 for f1, counts in zip(_detection_f1(tally), tally.counts, strict=True) if counts.n_truth]
    return Detection(
        tally.tolerance_um,
        found,
        total.n_result - found,
        total.n_truth - found,
        precision,
        recall,
        f1,
        mean_of(each),
    )


def _detection_f1(tally: _Tally) -> list[float | None]:
    """F1 of centroids of each frame; None if there is no object or no spacing."""
    if tally.spacing_um is None:
        return [None] * len(tally.frames)
    pairs = zip(tally.detected, tally.counts, strict=True)
    return [precision_recall(found, counts.n_truth, counts.n_result)[2] for found, counts in pairs]


def _volume_ratio(tally: _Tally) -> VolumeRatio | None:
    ratios = np.concatenate(tally.volume_ratios)
    if not len(ratios):
        return None
    low, median, high = (float(q) for q in np.quantile(ratios, (0.05, 0.5, 0.95)))
    return VolumeRatio(len(ratios), median, low, high)
