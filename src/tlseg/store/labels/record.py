"""The run record beside labels: how they were made, and which frames of their movie they cover."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tlseg.errors import LabelError, MovieError, one_line
from tlseg.store.fs.place import Place

FRAMES = "frames"
"""Key under which a fingerprint has the frames of the movie that its labels cover: the first, and the one after the last."""

INPUT_FRAMES = "input_frames"
"""Key for the same frames by their numbers in `input`, if that is a copy of part of the movie and counts from 0."""

SKIPPED = "skip_frames"
"""Key under which a fingerprint lists the frames that were to be left empty."""

MEASURED = "measured"
"""Key under which a record lists the channels measured later, and their image."""


def new_record(fingerprint: Mapping[str, Any], facts: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
    """Record of a run that is complete: what decided its result (its version too), facts about it, how long it took."""
    return {
        "complete": True,
        "tlseg": fingerprint["tlseg"],
        "made": now(),
        "fingerprint": dict(fingerprint),
        **facts,
        "machine": {"python": platform.python_version(), "system": platform.platform()},
        "seconds": round(seconds, 1),
    }


def provenance(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that goes into the attributes of its labels."""
    return {key: record[key] for key in ("tlseg", "made", "fingerprint")}


def now() -> str:
    """ISO time, UTC, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(place: str, name: str) -> dict[str, Any]:
    """Record of the run that made these labels; empty if there is none.

    Raises
    ------
    LabelError
        If the file is not a run record.
    MovieError
        If it cannot be read.
    """
    path = Place(place) / "tlseg" / name / "run.json"
    try:
        record: Any = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise MovieError(f"{path} cannot be read ({one_line(error)}).") from error
    except ValueError as error:
        raise LabelError(f"{path} is not a run record ({one_line(error)}). It is damaged; run again.") from error
    if not isinstance(record, dict):
        raise LabelError(f"{path} is not a run record (it holds no object). It is damaged; run again.")
    return record


def write_record(place: Place, record: Mapping[str, Any]) -> None:
    """Write a run record, or part of one, as JSON; the one with `complete: true` is the last thing a run writes."""
    place.write((json.dumps(record, indent=2, default=_plain) + "\n").encode())


def made_by_model(record: Mapping[str, Any]) -> bool:
    """Whether tlseg segmented these labels itself; records of linking and adopting are of labels that others made."""
    return isinstance(record.get("model"), Mapping)


def first_of_input(record: Mapping[str, Any], n_frames: int) -> int | None:
    """Frame of `input` that the first of `n_frames` of labels shows; None if the record does not tell it apart."""
    chosen = _whole_numbers(record, INPUT_FRAMES)
    if len(chosen) != 2:
        return None
    return chosen[0] if chosen[1] - chosen[0] == n_frames else 0


def recorded_frames(record: Mapping[str, Any], n_frames: int) -> range:
    """Frames of the movie that a run segmented; empty if its record does not say so, or not for `n_frames` of labels.

    Labels beside a movie hold all its frames, and those left out are empty; elsewhere they hold those segmented alone.
    """
    chosen = _whole_numbers(record, FRAMES)
    if len(chosen) != 2:
        return range(0)
    first, stop = chosen
    alone = stop - first == n_frames
    return range(first, stop) if 0 <= first < stop and (alone or stop <= n_frames) else range(0)


def skipped_frames(record: Mapping[str, Any]) -> list[int]:
    """Frames of the movie, by number, that a run was told to leave empty."""
    return _whole_numbers(record, SKIPPED)


def _whole_numbers(record: Mapping[str, Any], key: str) -> list[int]:
    """Whole numbers that the fingerprint of a record lists under a key; empty if it has something else there."""
    made_of = record.get("fingerprint")
    listed = made_of.get(key) if isinstance(made_of, Mapping) else None
    return listed if isinstance(listed, list) and all(isinstance(value, int) for value in listed) else []


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
