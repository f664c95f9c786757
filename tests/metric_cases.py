"""Named cases whose scores can be worked out by hand; `docs/metrics.md` draws them, tests hold the scores to them.

A movie is drawn as text: frames side by side, a digit or letter for each voxel of an object, a dot for background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Array = NDArray[np.uint32]

LARGE = {"A": 65_535, "B": 65_536, "C": 70_000, "D": 2**31}


@dataclass(frozen=True, slots=True)
class Case:
    """A truth, a result and what comparing them must say.

    Attributes
    ----------
    truth, result : (t, y, x) uint32
        Labels are tracks.
    expected : mapping
        Scores by the keys of `Evaluation.to_dict`; `a.b` is key b inside a. Scores are those pooled over objects unless
        they are per movie.
    truth_parents, result_parents : mapping
        Mother of each track that has one.
    frames : tuple of int
        Frame numbers of the truth; the result has all.
    """

    note: str
    truth: Array
    result: Array
    expected: Mapping[str, float | int | None]
    truth_parents: Mapping[int, int] = field(default_factory=dict)
    result_parents: Mapping[int, int] = field(default_factory=dict)
    frames: tuple[int, ...] = ()

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both sides as Cell Tracking Challenge folders; returns (result, truth)."""
        shown = self.frames or tuple(range(len(self.truth)))
        theirs = _write(folder / "truth", "man_track", self.truth, shown, self.truth_parents, tracks=not self.frames)
        ours = _write(folder / "result", "mask", self.result, range(len(self.result)), self.result_parents, tracks=True)
        return ours, theirs


def movie(*rows: str) -> Array:
    """Labels (t, y, x) of a drawing; blanks part the frames."""
    frames = zip(*(row.split() for row in rows), strict=True)
    return np.array(
        [[[LARGE.get(c, 0) or int(c.replace(".", "0")) for c in row] for row in f] for f in frames], np.uint32
    )


def track_rows(labels: Array, parents: Mapping[int, int]) -> NDArray[np.int64]:
    """Rows `track, first frame, last frame, parent` of a track file."""
    seen = {int(k): np.flatnonzero((labels == k).any(axis=(1, 2))) for k in np.unique(labels[labels > 0])}
    rows = [[k, t[0], t[-1], parents.get(k, 0)] for k, t in seen.items()]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def look_up(values: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key."""
    for part in key.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def _write(folder: Path, prefix: str, labels: Array, frames: Any, parents: Mapping[int, int], *, tracks: bool) -> Path:
    folder.mkdir(parents=True)
    kind = np.uint16 if labels.max() < 2**16 else np.uint32
    for t, frame in zip(frames, labels, strict=True):
        tifffile.imwrite(folder / f"{prefix}{t:03d}.tif", frame.astype(kind))
    if tracks:
        name = "man_track.txt" if prefix == "man_track" else "res_track.txt"
        np.savetxt(folder / name, track_rows(labels, parents), fmt="%d")
    return folder


_TWO = movie(
    "11..22 11..22 11..22",
    "11..22 11..22 11..22",
)
_DIVIDES = movie(
    "111111 111111 22..33 22..33",
    "111111 111111 22..33 22..33",
)
_LATE = movie(
    "111111 111111 11..11 22..33",
    "111111 111111 11..11 22..33",
)
_MISSED = movie(
    "111111 111111 11..33 11..33",
    "111111 111111 11..33 11..33",
)

CASES: dict[str, Case] = {
    "perfect": Case(
        "Other numbers, same objects.",
        _TWO,
        np.where(_TWO, _TWO + 6, 0).astype(np.uint32),
        {"pooled.seg": 1, "pooled.mucov": 1, "pooled.pq": 1, "pooled.f1": 1, "tracking.det": 1, "tracking.tra": 1},
    ),
    "empty frames": Case(
        "Nothing is there in the middle; a false object in it counts only in pooled scores.",
        movie("11.. .... 22..", "11.. .... 22.."),
        movie("11.. ..9. 22..", "11.. .... 22.."),
        {
            "seg": 1,
            "pooled.precision": 2 / 3,
            "extras": 1,
            "frames.1.f1": 0,
            "tracking.errors.fp": 1,
            "tracking.lnk": None,
        },
    ),
    "nothing found": Case(
        "An empty result scores 0, wherever there was something to find.",
        _TWO,
        np.zeros_like(_TWO),
        {"iou": 0, "seg": 0, "f1": 0, "misses": 6, "tracking.det": 0, "tracking.tra": 0, "tracking.errors.fn": 6},
    ),
    "only false objects": Case(
        "Without truth most scores are not defined.",
        np.zeros_like(_TWO),
        _TWO,
        {"seg": None, "pooled.precision": 0, "pooled.recall": None, "extras": 6, "tracking.det": None},
    ),
    "no background": Case(
        "Every voxel belongs to an object.",
        movie("1122 1122", "1122 1122"),
        movie("1112 1122", "1112 1122"),
        {
            "iou": 1,
            "pooled.seg": (2 / 3 + 0 + 1 + 1) / 4,
            "misses": 0,
            "tracking.errors.fn": 1,
            "tracking.errors.fp": 1,
        },
    ),
    "one object, many labels": Case(
        "Cut in quarters: one split, no majority, all four wrong.",
        movie("1111 1111", "1111 1111"),
        movie("1234 1234", "1234 1234"),
        {"pooled.seg": 0, "pooled.mucov": 0.25, "splits": 2, "misses": 0, "extras": 0, "tracking.det": 0},
    ),
    "many objects, one label": Case(
        "Merged: found, but as one; each object beyond the first needs a split.",
        movie("123. 123.", "123. 123."),
        movie("777. 777.", "777. 777."),
        {"pooled.seg": 1 / 3, "merges": 2, "misses": 0, "tracking.errors.ns": 4, "tracking.det": 1 - 20 / 60},
    ),
    "exactly half": Case(
        "Half an object is no majority, on neither side.",
        movie("1111.. 1111..", "1111.. 1111.."),
        movie("..5555 ..5555", "..5555 ..5555"),
        {"pooled.seg": 0, "pooled.mucov": 0, "misses": 2, "extras": 2, "curve.6.f1": 1, "curve.7.f1": 0},
    ),
    "numbers above 65,535": Case(
        "Numbers that 16 bits do not hold stay apart.",
        movie("AA.BB.CC AA.BB.CC", "AA.BB.CC AA.BB.CC"),
        movie("11.CC.DD 11.CC.DD", "11.CC.DD 11.CC.DD"),
        {"pooled.seg": 1, "n_truth": 6, "tracking.tra": 1, "tracking.n_truth_tracks": 3, "tracking.ct": 1},
    ),
    "a gap that is bridged": Case(
        "Missed in one frame, same number after it: one object and two links are missing, one link too many.",
        _TWO,
        movie("11..22 11.... 11..22", "11..22 11.... 11..22"),
        {"misses": 1, "tracking.errors.fn": 1, "tracking.errors.ea": 2, "tracking.errors.ed": 1, "tracking.tf": 2 / 3},
    ),
    "a gap that is not": Case(
        "A new number after the gap: the same, but for the link over it.",
        _TWO,
        movie("11..22 11.... 11..33", "11..22 11.... 11..33"),
        {"misses": 1, "tracking.errors.fn": 1, "tracking.errors.ea": 2, "tracking.errors.ed": 0, "tracking.ct": 2 / 5},
    ),
    "a gap in the truth": Case(
        "The object itself is away for a frame, and both sides know.",
        movie("11..22 ....22 11..22", "11..22 ....22 11..22"),
        movie("11..22 ....22 11..22", "11..22 ....22 11..22"),
        {"pooled.seg": 1, "tracking.tra": 1, "tracking.lnk": 1, "tracking.tf": 1, "tracking.complete_lineages": 1},
    ),
    "skipped frames": Case(
        "Truth for frames 0 and 2 only: the others are left out.",
        _TWO[[0, 2]],
        movie("11..22 1..... 11..2.", "11..22 1..... 11..2."),
        {"n_frames": 2, "n_truth": 4, "pooled.seg": 0.75, "misses": 0, "tracking": None},
        frames=(0, 2),
    ),
    "two numbers swapped": Case(
        "All objects right, two links wrong.",
        movie("11..22 11..22 11..22 11..22", "11..22 11..22 11..22 11..22"),
        movie("11..22 11..22 22..11 22..11", "11..22 11..22 22..11 22..11"),
        {
            "tracking.det": 1,
            "tracking.lnk": 1 - 5 / 9,
            "tracking.ct": 0,
            "tracking.tf": 0.5,
            "tracking.complete_lineages": 0,
        },
    ),
    "division": Case(
        "Found in the right frame.",
        _DIVIDES,
        _DIVIDES,
        {"tracking.tra": 1, "tracking.divisions.0.f1": 1, "tracking.complete_lineages": 1},
        {2: 1, 3: 1},
        {2: 1, 3: 1},
    ),
    "division, a frame late": Case(
        "Still one object when there are two: right only within one frame.",
        _DIVIDES,
        _LATE,
        {"tracking.divisions.0.f1": 0, "tracking.divisions.1.f1": 1, "tracking.complete_lineages": 0, "merges": 1},
        {2: 1, 3: 1},
        {2: 1, 3: 1},
    ),
    "division missed": Case(
        "One daughter keeps the number, the other begins: a link too few, and one of the wrong kind.",
        _DIVIDES,
        _MISSED,
        {
            "tracking.divisions.1.recall": 0,
            "tracking.errors.ea": 1,
            "tracking.errors.ec": 1,
            "tracking.errors.ed": 0,
            "tracking.complete_lineages": 0,
        },
        {2: 1, 3: 1},
    ),
    "one daughter": Case(
        "The truth names a mother of one: for the challenge two tracks, and a link of the wrong kind; no division, though.",
        movie("11.. 11.. 22.. 22..", "11.. 11.. 22.. 22.."),
        movie("11.. 11.. 11.. 11..", "11.. 11.. 11.. 11.."),
        {
            "tracking.errors.ec": 1,
            "tracking.lnk": 1 - 1 / 4.5,
            "tracking.ct": 0,
            "tracking.hota": 0.5**0.5,
            "tracking.complete_lineages": 1,
        },
        {2: 1},
    ),
    "division that is none": Case(
        "An object that enters is called a daughter: a link too many, and one of the wrong kind.",
        _MISSED,
        _DIVIDES,
        {
            "tracking.divisions.1.precision": 0,
            "tracking.errors.ed": 1,
            "tracking.errors.ec": 1,
            "tracking.det": 1,
            "tracking.complete_lineages": 0.5,
        },
        {},
        {2: 1, 3: 1},
    ),
}
