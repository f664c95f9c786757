"""Which frame of the truth corresponds to which frame of the result?

By the numbers in files, tracks and run records, else by time, else in order; notes say what was decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tlseg.config import Frames, as_frames
from tlseg.errors import EvaluationError
from tlseg.store.labels.label_movie import LabelMovie, as_axes, movie_of_array, open_label_movie, takes_axes
from tlseg.store.labels.result import Result


def pair(
    result: Any, truth: Any, *, name: str | None, axes: str | None, frames: Frames | None
) -> tuple[LabelMovie, LabelMovie, list[int], list[str]]:
    """Open both sides and number their frames alike.

    Parameters
    ----------
    result, truth, name, axes, frames
        As for `evaluate`.

    Returns
    -------
    Result and truth, the frames to compare, and notes for a person.

    Raises
    ------
    EvaluationError
        When frames or shapes do not fit together.
    MovieError
        When `frames` is not a valid range of frames.
    LabelError
        When a side cannot be read.
    """
    given = [None if axes is None else _axes_of(side, as_axes(axes)) for side in (result, truth)]
    if axes is not None and not any(given):
        raise EvaluationError(f"Axes {axes} were given, but neither side is a TIFF or an array that has such axes.")
    ours = _as_movie(result, "the result", name=name, prefer=("nuclei",), axes=given[0])
    theirs = _as_movie(truth, "the truth", name=None, prefer=("truth", name or "nuclei"), axes=given[1])
    notes = ["The result and the truth are the same labels."] if ours.source == theirs.source else []
    if theirs.by_model and not ours.by_model:
        notes.append(
            f"{ours.source} was taken for the result and {theirs.source}, which tlseg segmented, for the truth. If it is "
            "the other way round, swap them: the result comes first."
        )
    ours, theirs = _numbered_by_name(ours, theirs, notes)
    ours = _same_numbers(ours, theirs, notes)
    return ours, theirs, _frames_to_compare(ours, theirs, frames, notes), notes


def _axes_of(source: Any, axes: str) -> str | None:
    """Return `axes` for a side that may have them, None for one that names its own."""
    if isinstance(source, str | Path):
        return axes if takes_axes(source) else None
    is_array = hasattr(source, "shape") and not isinstance(source, LabelMovie | Result)
    return axes if is_array and len(source.shape) == len(axes) else None


def _as_movie(source: Any, side: str, *, name: str | None, prefer: tuple[str, ...], axes: str | None) -> LabelMovie:
    if name is not None and not isinstance(source, str | Path | Result):
        raise EvaluationError(f"Labels called {name!r} were asked for, but {side} is labels already. Omit the name.")
    if isinstance(source, LabelMovie):
        return source
    if isinstance(source, Result):
        return open_label_movie(f"{source.path}/labels/{name or source.name}")
    if isinstance(source, str | Path):
        return open_label_movie(source, name=name, prefer=prefer, axes=axes)
    if not hasattr(source, "shape"):
        raise EvaluationError(f"{side} is of type {type(source).__name__}; expected a path or an array of labels.")
    return movie_of_array(source, source=side, axes=axes)


def _numbered_by_name(result: LabelMovie, truth: LabelMovie, notes: list[str]) -> tuple[LabelMovie, LabelMovie]:
    """Use the numbers at the end of the truth's file names as frames, if the truth covers only some of the result's."""
    if truth.files is None or len(truth.frames) >= len(result.frames):
        return result, truth
    if result.files is not None:
        result = result.numbered_as(result.files.values)
    numbers = truth.files.values
    if not set(numbers) <= set(result.movie_frames or result.frames):
        return result, truth
    notes.append(
        f"The truth is taken to be {_listed(numbers)}, from its file names ({truth.files.names[0]}), counted from 0."
    )
    return result, replace(truth.numbered_as(numbers), numbered=True)


def _same_numbers(result: LabelMovie, truth: LabelMovie, notes: list[str]) -> LabelMovie:
    """Pair frames in order if both sides have as many under other numbers; a part of the movie by its numbers there."""
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
    """Number the result's frames as the truth does, if both say when they begin."""
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
    """How to name truth that covers only some frames, if its names do not say it."""
    if truth.numbered or truth.track_file is not None:
        return ""
    return (
        " If the truth covers only some frames, each file name must end in its frame's number, counted from 0, such as "
        "t010.tif or man_seg010.tif."
    )


def _is_sparse(truth: LabelMovie) -> bool:
    """Whether frames may be missing: file names carry frame numbers, and no track file says that all are there."""
    return truth.numbered and truth.track_file is None


def _check_shapes(result: LabelMovie, truth: LabelMovie, frame: int) -> None:
    ours, theirs = result.frame_shape(frame), truth.frame_shape(frame)
    if not all(theirs):
        raise EvaluationError(f"Frame {frame} of the truth has shape {theirs} (z, y, x): no voxel to compare.")
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
