"""Compare a result with the truth, frame by frame and block by block, and say how good it is.

No more than one block of each side is in memory; what is kept of a frame are its counts and its objects' labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from tlseg.config import Frames, as_frames
from tlseg.errors import EvaluationError
from tlseg.evaluate.divisions import DivisionScores, score_divisions
from tlseg.evaluate.lineage import TrackGraph, graph_of_labels, graph_of_links, graph_of_tracks, require_tracks
from tlseg.evaluate.matching import count_detections, count_matches, match_objects
from tlseg.evaluate.overlap import Floats, Ids, Ints, Overlap, add_up, count_overlap, overlap_of
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
from tlseg.rules import Rule, at_least_0, between, one_of, whole
from tlseg.store.labels.label_movie import LabelMovie, movie_of_array, open_label_movie
from tlseg.store.labels.result import Result
from tlseg.store.labels.values import as_labels

Tracking = Literal["auto", "always", "never"]

RULES: Mapping[str, Rule] = {
    "iou": between(0, 1),
    "tolerance_um": at_least_0(),
    "division_tolerance": whole(0),
    "tracking": one_of(*get_args(Tracking)),
}
"""What settings of `evaluate` may be."""

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
        Label image of the result inside an OME-Zarr; by default `nuclei`, or the only one. Of the truth it is `truth`,
        or else this name, or the only one; give the path of a label image to choose another.
    iou : float
        Smallest IoU, 0 to 1, at which two objects match, for precision, recall, F1 and divisions.
    tolerance_um : float
        Largest distance of two centroids, in micrometres, that are one detection.
    division_tolerance : int
        Largest number of frames a division may be early or late.
    frames : str, range, slice or (first, end), optional
        Frames to compare, from A up to but without B: "A:B", `range(A, B)`, `slice(A, B)` or (A, B); either side may be
        left open. By default all, or those that the run segmented. Labels of a part of a movie have that movie's numbers
        where the truth has them too.
    spacing_um : (z, y, x) or, in 2D, (y, x) float, optional
        Micrometres per voxel; by default what the truth says, or else the result.
    tracking : {"auto", "always", "never"}
        Whether to score tracks: where both sides have a track file or graph (auto), or also where they have none,
        taking each label for one object through time (always).
    block : (z, y, x) int, optional
        Voxels read at a time. No figure depends on it.
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
        When `frames` is no range of frames.
    PlanError
        When `block` is none.
    LabelError
        When a side cannot be read.
    """
    given = {"iou": iou, "tolerance_um": tolerance_um, "division_tolerance": division_tolerance, "tracking": tracking}
    for setting, value in given.items():
        RULES[setting].check(setting, value, error=EvaluationError)
    if block is not None:
        block = as_block(block)
    ours = _as_movie(result, "the result", name=name, prefer=("nuclei",))
    theirs = _as_movie(truth, "the truth", name=None, prefer=("truth", name or "nuclei"))
    notes = ["The result and the truth are the same labels."] if ours.source == theirs.source else []
    ours, theirs = _numbered_by_name(ours, theirs, notes)
    ours = _same_numbers(ours, theirs, notes)
    chosen = _frames_to_compare(ours, theirs, frames, notes)
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
        """Refuse a label without a track in the first frame that shows it, not after all of them were read."""
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


def _as_movie(source: Any, side: str, *, name: str | None, prefer: tuple[str, ...]) -> LabelMovie:
    if isinstance(source, LabelMovie):
        return source
    if isinstance(source, Result):
        return open_label_movie(f"{source.path}/labels/{name or source.name}")
    if isinstance(source, str | Path):
        return open_label_movie(source, name=name, prefer=prefer)
    if not hasattr(source, "shape"):
        raise EvaluationError(f"{side} is of type {type(source).__name__}; expected a path or an array of labels.")
    return movie_of_array(source, source=side)


def _numbered_by_name(result: LabelMovie, truth: LabelMovie, notes: list[str]) -> tuple[LabelMovie, LabelMovie]:
    """Take the numbers that the truth's file names end in for frames, where it is of some of the result's."""
    if truth.files is None or len(truth.frames) >= len(result.frames):
        return result, truth
    if result.files is not None:
        result = result.numbered_as(result.files.values)
    numbers = truth.files.values
    if not set(numbers) <= set(result.movie_frames or result.frames):
        return result, truth
    notes.append(
        f"The truth is taken for {_listed(numbers)} by its file names ({truth.files.names[0]}), counted from 0."
    )
    return result, replace(truth.numbered_as(numbers), numbered=True)


def _same_numbers(result: LabelMovie, truth: LabelMovie, notes: list[str]) -> LabelMovie:
    """Pair frames by order where there are as many of them under other numbers; a part of the movie by its numbers there."""
    of_movie, of_truth = set(result.movie_frames), set(truth.frames)
    if of_movie and (of_movie <= of_truth or (_is_sparse(truth) and of_movie & of_truth)):
        segmented = () if of_movie == of_truth else result.movie_frames
        return replace(result.numbered_as(result.movie_frames), segmented=segmented)
    if result.frames == truth.frames:
        return result
    result = _counted_by_time(result, truth)
    if len(result.frames) != len(truth.frames):
        return result
    if _is_sparse(truth):
        return result
    notes.append(
        f"The result's frames start at {result.frames[0]}, the truth's at {truth.frames[0]}; as both have "
        f"{len(truth.frames)}, they were paired in order."
    )
    return result.numbered_as(truth.frames)


def _counted_by_time(result: LabelMovie, truth: LabelMovie) -> LabelMovie:
    """Count the result's frames as the truth does, where both say when they begin."""
    if result.since_0 is None or truth.since_0 is None:
        return result
    first = truth.frames[0] + result.since_0 - truth.since_0
    return result.numbered_as(range(first, first + len(result.frames))) if first >= 0 else result


def _frames_to_compare(result: LabelMovie, truth: LabelMovie, frames: Frames | None, notes: list[str]) -> list[int]:
    if frames is None and result.segmented:
        frames = (result.segmented[0], result.segmented[-1] + 1)
        count = max(len(result.frames), len(truth.frames))
        if len(result.segmented) < count:
            notes.append(f"The run segmented {_listed(result.segmented)} of {count}; the others were left out.")
    low, high = as_frames(frames)
    wanted = [
        [t for t in movie.frames if (low is None or t >= low) and (high is None or t < high)]
        for movie in (result, truth)
    ]
    ours, theirs = wanted
    if result.planes:
        raise EvaluationError(
            f"The result {result.source} has single planes of frames. Give whole frames as the result."
        )
    if _is_sparse(truth) and theirs and set(theirs) < set(ours):
        notes.append(f"The truth has {len(theirs)} of {len(ours)} frames; the others were left out.")
    elif ours != theirs:
        raise EvaluationError(
            f"The result has {_listed(ours)} and the truth has {_listed(theirs)}; both need the same frames. "
            f"Choose a range that both have with --frames A:B.{_naming(truth) if len(theirs) < len(ours) else ''}"
        )
    if not theirs:
        raise EvaluationError(f"No frame of the truth is left to compare; it has {_listed(truth.frames)}.")
    if any(truth.planes.get(t) for t in theirs):
        notes.append("The truth labels single planes; only those were compared.")
    for t in theirs:
        _check_shapes(result, truth, t)
    return theirs


def _naming(truth: LabelMovie) -> str:
    """How to name truth of some frames, where its names do not say it."""
    if truth.numbered or truth.track_file is not None:
        return ""
    return (
        " Truth of some frames is known by the number of each in its file's name, counted from 0, such as t010.tif or "
        "man_seg010.tif."
    )


def _is_sparse(truth: LabelMovie) -> bool:
    """Whether frames may be missing: file names carry frame numbers, and no track file says that all are there."""
    return truth.numbered and truth.track_file is None


def _check_shapes(result: LabelMovie, truth: LabelMovie, frame: int) -> None:
    ours, theirs = result.frame_shape(frame), truth.frame_shape(frame)
    fits = ours == theirs or (bool(truth.planes) and ours[1:] == theirs[1:] and theirs[0] <= ours[0])
    if not fits:
        raise EvaluationError(
            f"In frame {frame} the result has shape {ours} and the truth {theirs} (z, y, x); both must be equal. "
            "Resample or crop one of them first."
        )


def _listed(frames: Iterable[int]) -> str:
    numbers = list(frames)
    if not numbers:
        return "no frames"
    return f"{len(numbers)} frames ({numbers[0]} to {numbers[-1]})" if len(numbers) > 1 else f"frame {numbers[0]}"


def _spacing(result: LabelMovie, truth: LabelMovie, notes: list[str]) -> Spacing | None:
    spacing = truth.spacing_um or result.spacing_um
    if spacing is None:
        notes.append(
            "Neither side says its voxel spacing, so detection by distance was left out. Give --spacing Z,Y,X."
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
    """Whether tracks are to be compared; where they were expected and are not, a note says why."""
    if wanted == "never" or (wanted == "auto" and n_frames < 2):
        return False
    if truth.planes:
        notes.append("Tracks were not compared: the truth labels single planes.")
        return False
    silent = [side for side, m in (("result", result), ("truth", truth)) if m.track_file is None and m.geff is None]
    if silent and wanted == "auto":
        notes.append(
            f"Tracks were not compared: no track file or graph with the {' and the '.join(silent)}. If its labels are "
            "track numbers, ask with --tracking."
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
    """F1 of centroids of each frame; None where there is no object, or no spacing."""
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
