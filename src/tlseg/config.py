"""Settings that cross layers, as plain values: what decides labels, and nothing about where or how the work is done."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any, Literal, get_args

from tlseg.errors import ModelError, MovieError

Method = Literal["qcanet", "components"]
Relief = Literal["distance", "centre"]
Scaling = Literal["quantiles", "asinh", "extremes"]

Frames = str | range | slice | tuple[int | None, int | None]
"""Frames one after the other: `"2:5"`, `range(2, 5)`, `slice(2, 5)` and `(2, 5)` are 2, 3 and 4; a side may be left open."""


def byte(probability: float) -> int:
    """Least uint8 map value that counts as `probability` or more (255 is certain)."""
    return math.ceil(probability * 255 - 1e-9)


def as_frames(frames: Frames | None) -> tuple[int | None, int | None]:
    """First frame and the frame after the last; None for a side that is left open, both where nothing is given.

    Raises
    ------
    MovieError
        If it is anything else: frames count from 0, go one by one, and there is at least one.
    """
    first, stop = _sides(frames)
    if not (_is_side(first) and _is_side(stop)) or (stop is not None and stop <= (first or 0)):
        raise MovieError(
            f"{frames!r} is not a range of frames. Expected A:B with 0 <= A < B, such as 0:10; from Python also "
            "range(A, B), slice(A, B) or (A, B)."
        )
    return (None if first is None else int(first), None if stop is None else int(stop))


def _sides(frames: Any) -> tuple[Any, Any]:
    """Both sides as they were given; (0, 0), which is no range, where there are no two."""
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
            raise MovieError(f"Frames go one by one; got a step of {frames.step}.")
        return frames.start, frames.stop
    return frames if isinstance(frames, tuple) and len(frames) == 2 else (0, 0)


def _is_side(value: Any) -> bool:
    return value is None or (isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0)


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
        Two maxima of the smoothed centre map are one nucleus where it stays above this share of the lower one all the
        way between them, and they are no further apart than this; with 1 they never are.
    relief
        What is flooded: "distance" to background, or the "centre" map.
    minimum_volume_um3, minimum_volume_fraction
        Instances are dropped that are smaller, or smaller than this fraction of the frame's median volume
        (`tlseg.label.small.median_volume`), as polar bodies and debris are.
    halo_um, margin_um
        First halo around a block and first margin for distances; both grow where that is not enough, so they decide
        speed and never labels.

    Raises
    ------
    ModelError
        If there is no such method or relief.
    """

    method: Method = "qcanet"
    region_threshold: int = 128
    centre_threshold: int = 128
    centre_smoothing_um: float = 2.0
    centre_distance_um: float = 5.0
    centre_saddle: float = 1.0
    centre_reach_um: float = 14.0
    relief: Relief = "distance"
    minimum_volume_um3: float = 0.0
    minimum_volume_fraction: float = 0.0
    halo_um: float = 20.0
    margin_um: float = 10.0

    def __post_init__(self) -> None:
        """Refuse words that no stage knows: each would take them for another."""
        for name, choices in (("method", get_args(Method)), ("relief", get_args(Relief))):
            if getattr(self, name) not in choices:
                raise ModelError(f"{name} is {getattr(self, name)!r}; expected is {' or '.join(choices)}.")

    def deciding(self) -> dict[str, Any]:
        """Everything that decides labels, for a fingerprint."""
        values = asdict(self)
        for speed in ("halo_um", "margin_um"):
            del values[speed]
        return values
