"""Names that a run uses in its working files and event log, for their writers and readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tlseg.geometry import Shape


class Stage(StrEnum):
    """What a task does, in errors, progress and the event log."""

    STATISTICS = "statistics"
    PREDICT = "predict"
    DETECT = "detect"
    NUMBER = "number"
    FLOOD = "flood"
    MEASURE = "measure"
    SUMMARISE = "summarise"
    REPAIR = "repair"
    REMEASURE = "remeasure"
    LINK = "link"
    WRITE = "write"


class Table(StrEnum):
    """Small tables of the working files, one for each region that is done; blocks' have the names of their stages."""

    STATISTICS = "statistics"
    NUCLEUS = "nucleus"
    ARRAYS = "arrays"
    DETECT = "detect"
    NUMBERS = "numbers"
    FLOOD = "flood"
    COMPONENTS = "components"
    MEASURE = "measure"
    AUDIT = "audit"
    OBJECTS = "objects"
    REPAIRS = "repairs"
    PATCH = "patch"
    PATCHES = "patches"
    REPLACED = "replaced"
    TRACKS = "tracks"
    OUTPUT = "output"
    WRITE = "write"


def predicted(role: str) -> str:
    """Name of the tables that say which windows of a network are done."""
    return f"predict-{role}"


INPUT, FRAMES, BLOCK = "input", "frames", "block"
"""In a fingerprint: the movie, [first, stop] of its frames, and the core of a block."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a fingerprint says about the movie and the layout of the working files.

    Parameters
    ----------
    movie
        Its identity, see `MovieSource.identity`.
    frames
        Frames of the movie.
    block
        Core of a block in voxels (z, y, x).
    """

    movie: Mapping[str, Any]
    frames: range
    block: Shape

    @classmethod
    def of(cls, fingerprint: Mapping[str, Any] | None) -> Begun | None:
        """Read a fingerprint; None if it says nothing about these."""
        if fingerprint is None or not {INPUT, FRAMES, BLOCK} <= set(fingerprint):
            return None
        z, y, x = fingerprint[BLOCK]
        return cls(fingerprint[INPUT], range(*fingerprint[FRAMES]), (z, y, x))
