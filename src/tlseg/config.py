"""Settings that cross layers, as plain values: what decides labels, and nothing about where or how the work is done."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from tlseg.errors import ModelError, MovieError
from tlseg.rules import NonNegativeFloat, Share, check_fields, or_none, whole, whole_between

Method = Literal["qcanet", "components"]
Relief = Literal["distance", "centre"]
Scaling = Literal["quantiles", "asinh", "extremes"]
MapValue = Annotated[int, whole_between(0, 255)]

Frames = str | range | slice | tuple[int | None, int | None]
"""Consecutive frames: `"2:5"`, `range(2, 5)`, `slice(2, 5)` and `(2, 5)` are 2, 3 and 4; either end may be open."""


def byte(probability: float) -> int:
    """Least uint8 map value that counts as `probability` or more (255 is certain)."""
    return math.ceil(probability * 255 - 1e-9)


SkippedFrames = str | Iterable[int]
"""Frames anywhere in a movie: `"17,40:43"` and `[17, 40, 41, 42]` are the same."""


def as_frames(frames: Frames | None) -> tuple[int | None, int | None]:
    """First frame and the frame after the last; None for an end that is left open, both if nothing is given.

    Raises
    ------
    MovieError
        If it is anything else: frames count from 0, go one by one, and there is at least one.
    """
    first, stop = _sides(frames)
    side = or_none(whole(0))
    if not (side.holds(first) and side.holds(stop)) or (stop is not None and stop <= (first or 0)):
        raise MovieError(
            f"{frames!r} is not a range of frames. Expected A:B with 0 <= A < B, such as 0:10; from Python also "
            "range(A, B), slice(A, B) or (A, B)."
        )
    return (None if first is None else int(first), None if stop is None else int(stop))


def as_skipped(skip_frames: SkippedFrames | None) -> frozenset[int]:
    """Frames to skip, as numbers.

    Raises
    ------
    MovieError
        If it is anything but numbers from 0 and ranges of them.
    """
    if skip_frames is None:
        return frozenset()
    if not isinstance(skip_frames, str):
        numbers = list(skip_frames) if isinstance(skip_frames, Iterable) else [None]
        if not all(map(whole(0).holds, numbers)):
            raise _no_frames_to_skip(skip_frames)
        return frozenset(map(int, numbers))
    skipped: set[int] = set()
    for part in skip_frames.split(","):
        found = re.fullmatch(r"([0-9]+)(?::([0-9]+))?", part.strip())
        if found is None or (found[2] and int(found[2]) <= int(found[1])):
            raise _no_frames_to_skip(skip_frames)
        skipped.update(range(int(found[1]), int(found[2]) if found[2] else int(found[1]) + 1))
    return frozenset(skipped)


def _no_frames_to_skip(given: object) -> MovieError:
    return MovieError(
        f"{given!r} does not say which frames to skip. Expected numbers from 0 and ranges A:B, separated by commas, such "
        "as 17,40:43; from Python also a list of numbers."
    )


def _sides(frames: Any) -> tuple[Any, Any]:
    """Both ends as given; (0, 0), which is not a range, if there are not exactly two."""
    if frames is None:
        return None, None
    if isinstance(frames, str):
        found = re.fullmatch(r"([0-9]*):([0-9]*)", frames.strip())
        if found is None:
            return 0, 0
        first, stop = found.groups()
        return int(first) if first else None, int(stop) if stop else None
    if isinstance(frames, range | slice):
        if frames.step not in (None, 1):
            raise MovieError(f"Frames are taken one by one; got a step of {frames.step}.")
        return frames.start, frames.stop
    return frames if isinstance(frames, tuple) and len(frames) == 2 else (0, 0)


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How maps become instances; thresholds are uint8 map values, distances micrometres.

    Parameters
    ----------
    method
        "qcanet": seeds from the centre map and a watershed; "components": connected regions, without centres.
    region_threshold
        Foreground is where the region map is at least this.
    centre_threshold
        Least mean of the centre map over the smoothing box at a seed.
    centre_smoothing_um, centre_distance_um
        Side of the smoothing box, and least distance of two seeds.
    centre_saddle, centre_reach_um
        Two maxima of the smoothed centre map are one nucleus if the map stays above this share of the lower one all the way
        between them, and they are no further apart than this; with a share of 1 they never are.
    relief
        What is flooded: "distance" to background, or the "centre" map.
    minimum_volume_um3, minimum_volume_fraction
        Instances smaller than this volume, or than this fraction of the frame's median volume
        (`tlseg.label.small.median_volume`), are dropped; polar bodies and debris usually are.
    halo_um, margin_um
        First halo around a block and first margin for distances; both grow if that is not enough, so they affect speed and
        never labels.

    Raises
    ------
    ModelError
        If a field holds an invalid value.
    """

    method: Method = "qcanet"
    region_threshold: MapValue = 128
    centre_threshold: MapValue = 128
    centre_smoothing_um: NonNegativeFloat = 2.0
    centre_distance_um: NonNegativeFloat = 5.0
    centre_saddle: Share = 1.0
    centre_reach_um: NonNegativeFloat = 14.0
    relief: Relief = "distance"
    minimum_volume_um3: NonNegativeFloat = 0.0
    minimum_volume_fraction: NonNegativeFloat = 0.0
    halo_um: NonNegativeFloat = 20.0
    margin_um: NonNegativeFloat = 10.0

    def __post_init__(self) -> None:
        """Refuse values that no stage knows: a word would be taken for another, a share above 1 for certainty."""
        check_fields(self, error=ModelError)

    def deciding(self) -> dict[str, Any]:
        """Everything that decides labels, for a fingerprint."""
        values = asdict(self)
        for speed in ("halo_um", "margin_um"):
            del values[speed]
        return values
