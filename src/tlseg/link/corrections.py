"""Apply corrections made by a person to the numbers of nuclei, one after another.

A nucleus in one frame is a row: its frame, its label in the pixels, and its number, which is its track. A correction changes
numbers and never the labels, so all of them are known before a voxel is written. Each sees the numbers that the ones before
it left.

Mothers follow their nuclei: a division joins the last row of a mother to the first row of a daughter, whatever numbers the
two get. It is lost only if they no longer end and begin a track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.link.objects import Ints

Action = Literal["remove", "join", "split", "swap", "separate", "divide", "mother"]

MOST = 2**32 - 1
"""Largest number that the pixels can hold."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction.

    Attributes
    ----------
    action : str
        `remove`: these nuclei are background. `join`: they are `other`, as a fragment of it or before or after it.
        `split`: they are a track of their own. `swap`: they and `other` change places. `separate`: one label holds
        several nuclei. `divide`: the track divides; what it was called from then on is one daughter, `other` the other.
        `mother`: `other` is the mother of the track.
    track : int
        Number of the nuclei.
    first, last : int or None
        First and last frame; None for all before or after.
    other : int or None
        The other number; for `split` and `separate` that of what is new, by default the smallest above all others.
    at_um : tuple of tuple of float
        For `separate`, the centre of each nucleus, micrometres (z, y, x), or (y, x) in 2D; the first keeps the number.
    where : str
        Where it was written, to begin a message.
    """

    action: Action
    track: int
    first: int | None = None
    last: int | None = None
    other: int | None = None
    at_um: tuple[tuple[float, ...], ...] = ()
    where: str = "A correction"


TakeApart = Callable[[Correction, int, Ints], Ints]
"""Takes a correction, the frame, and the labels of one nucleus; divides it in the pixels and returns the label of each part.

The first part keeps the first of the labels; the others are new to the frame, and other given labels are gone.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """What corrections make of the nuclei.

    Attributes
    ----------
    t, label, number : (n,) int64
        Frame, label and number of each nucleus, 0 where it was removed. Rows that share frame and number are one nucleus.
    origin : (n,) int64
        The number each row had at first, 0 for parts that were separated from another.
    mothers : dict of int to int
        Mothers that corrections name, 0 for none, by daughter.
    said : tuple of str
        What each correction did.
    """

    t: Ints
    label: Ints
    number: Ints
    origin: Ints
    mothers: dict[int, int]
    said: tuple[str, ...]


def apply_corrections(
    t: Ints, label: Ints, corrections: Iterable[Correction], *, take_apart: TakeApart, offset: int = 0
) -> Corrected:
    """Apply corrections in their order.

    Parameters
    ----------
    t, label
        Frame and label of each nucleus, shape (n,); each pair occurs once, and a label is the number of its track.
    corrections
        What to correct.
    take_apart
        Divides one nucleus in the pixels.
    offset
        Number of a frame in corrections, less the same in `t`, which may count from the first frame of part of a movie.

    Raises
    ------
    LabelError
        If there is no such nucleus, or a number is missing, in use, or out of range.
    """
    work = _Work(t.copy(), label.copy(), label.copy(), label.copy(), take_apart, offset)
    said = tuple(f"{c.where}: {_ACTIONS[c.action](work, c)}" for c in corrections)
    return Corrected(work.t, work.label, work.number, work.origin, work.mothers, said)


def follow_mothers(
    corrected: Corrected, *, daughter: Ints, mother: Ints
) -> tuple[dict[int, int], tuple[tuple[int, int], ...]]:
    """Carry the mothers of uncorrected tracks over, and add those that corrections name.

    Parameters
    ----------
    corrected
        The nuclei.
    daughter, mother
        Each daughter's number before any correction and her mother's, shape (k,).

    Returns
    -------
    mothers : dict of int to int
        The mother of each daughter, by their present numbers.
    lost : tuple of (daughter, mother)
        Those that corrections undid, by the numbers they had before.
    """
    here = np.flatnonzero(corrected.number > 0)
    here = here[np.lexsort((corrected.t[here],))]
    ends = _ends(corrected.number[here], here)
    origins = _ends(corrected.origin[here], here)
    mothers: dict[int, int] = {}
    lost = []
    for child, parent in zip(daughter.tolist(), mother.tolist(), strict=True):
        if child not in origins:
            continue
        begin, end = origins[child][0], origins[parent][1] if parent in origins else -1
        new_child, new_parent = int(corrected.number[begin]), int(corrected.number[end])
        intact = end >= 0 and ends[new_child][0] == begin and ends[new_parent][1] == end
        if intact and corrected.t[end] < corrected.t[begin]:
            mothers[new_child] = new_parent
        else:
            lost.append((child, parent))
    # What corrections name comes last: it holds for the numbers that all of them leave.
    named = {child: parent for child, parent in corrected.mothers.items() if child in ends}
    known = {child: parent for child, parent in (mothers | named).items() if parent}
    return known, tuple(pair for pair in lost if pair[0] not in named)


def _ends(numbers: Ints, rows: Ints) -> dict[int, tuple[int, int]]:
    """First and last row of each number, of rows that are sorted by frame."""
    order = np.argsort(numbers, kind="stable")
    found, first, count = np.unique(numbers[order], return_index=True, return_counts=True)
    begin, end = rows[order[first]], rows[order[first + count - 1]]
    return {n: (a, b) for n, a, b in zip(found.tolist(), begin.tolist(), end.tolist(), strict=True)}


@dataclass(slots=True, eq=False)
class _Work:
    """The nuclei while they are corrected."""

    t: Ints
    label: Ints
    number: Ints
    origin: Ints
    take_apart: TakeApart
    offset: int
    mothers: dict[int, int] = field(default_factory=dict)

    def all_rows(self, c: Correction, track: int) -> NDArray[np.bool_]:
        """Rows of a track in all frames."""
        found: NDArray[np.bool_] = self.number == track
        if track < 1 or not found.any():
            raise LabelError(
                f"{c.where}: there is no nucleus {track}. Check the number; lines further up may change it."
            )
        return found

    def rows(self, c: Correction, track: int) -> Ints:
        """Rows of a track in the frames of a correction."""
        inside = self.all_rows(c, track)
        frame = self.t + self.offset
        low, high = int(frame[inside].min()), int(frame[inside].max())
        inside &= (frame >= (low if c.first is None else c.first)) & (frame <= (high if c.last is None else c.last))
        if not inside.any():
            raise LabelError(f"{c.where}: nucleus {track} is in none of these frames. It is in frames {low} to {high}.")
        return np.flatnonzero(inside)

    def new(self, count: int = 1) -> Ints:
        """Numbers that no nucleus has or had: above all others, or else the smallest."""
        known = np.concatenate([self.number, self.origin])
        after = np.arange(1, count + 1) + known.max()
        return after if after[-1] <= MOST else np.setdiff1d(np.arange(1, len(known) + count + 1), known)[:count]

    def unused(self, c: Correction) -> int:
        """The number a correction gives to what is new."""
        if c.other is None:
            return int(self.new()[0])
        if not 1 <= c.other <= MOST:
            raise LabelError(f"{c.where}: {c.other} cannot be the number of a nucleus. Expected 1 to {MOST}.")
        if (self.number == c.other).any():
            raise LabelError(
                f"{c.where}: {c.other} is already the number of a nucleus. Expected one that is not used, or none; to make "
                "two tracks one, use join."
            )
        return c.other

    def frames(self, rows: Ints) -> str:
        """Frames of rows, in words."""
        low, high = (int(f) + self.offset for f in (self.t[rows].min(), self.t[rows].max()))
        return f"in frame {low}" if low == high else f"in frames {low} to {high}"


def _remove(work: _Work, c: Correction) -> str:
    rows = work.rows(c, c.track)
    work.number[rows] = 0
    return f"{c.track} removed {work.frames(rows)}"


def _join(work: _Work, c: Correction) -> str:
    rows, other = work.rows(c, c.track), _another(work, c)
    both = np.isin(work.t[rows], work.t[work.number == other])
    work.number[rows] = other
    together = f", as fragments of one nucleus {work.frames(rows[both])}" if both.any() else ""
    return f"{c.track} joined to {other} {work.frames(rows)}{together}"


def _split(work: _Work, c: Correction) -> str:
    rows, new = work.rows(c, c.track), work.unused(c)
    if len(rows) == np.count_nonzero(work.all_rows(c, c.track)):
        raise LabelError(f"{c.where}: {c.track} is in no other frames, so there is nothing to split it from.")
    work.number[rows] = new
    return f"{c.track} is now {new} {work.frames(rows)}"


def _swap(work: _Work, c: Correction) -> str:
    other = _another(work, c)
    rows, others = work.rows(c, c.track), work.rows(c, other)
    work.number[rows], work.number[others] = other, c.track
    return f"{c.track} and {other} swapped {work.frames(np.concatenate([rows, others]))}"


def _separate(work: _Work, c: Correction) -> str:
    if c.first is None or c.last not in (None, c.first):
        raise LabelError(f"{c.where}: a nucleus is separated in one frame at a time. Give it as the first frame.")
    rows = work.rows(replace(c, last=c.first), c.track)
    frame = int(work.t[rows[0]])
    if len(c.at_um) < 2:
        raise LabelError(f"{c.where}: to separate {c.track}, give the centres of two nuclei or more, in micrometres.")
    numbers = _numbers_of_parts(work, c, frame)
    parts = work.take_apart(c, frame, work.label[rows])
    work.number[rows[1:]] = 0
    work.t = np.append(work.t, np.full(len(numbers), frame))
    work.label = np.append(work.label, parts[1:])
    work.number = np.append(work.number, numbers)
    work.origin = np.append(work.origin, np.zeros(len(numbers), np.int64))
    return f"{c.track} separated from {', '.join(map(str, numbers))} {work.frames(rows)}"


def _numbers_of_parts(work: _Work, c: Correction, frame: int) -> Ints:
    """Numbers of all parts but the first: new ones, or that of a nucleus that is missing in this frame."""
    if c.other is None:
        return work.new(len(c.at_um) - 1)
    if len(c.at_um) > 2:
        raise LabelError(f"{c.where}: {len(c.at_um) - 1} new nuclei cannot all be {c.other}. Leave it out.")
    if (work.number[work.t == frame] == c.other).any():
        raise LabelError(f"{c.where}: {c.other} is in this frame already. Give a nucleus that is missing, or none.")
    return np.array([c.other if (work.number == c.other).any() else work.unused(c)])


def _divide(work: _Work, c: Correction) -> str:
    other = _another(work, c)
    mine = work.all_rows(c, c.track)
    later = mine & (work.t + work.offset >= (c.first or 0))
    if not later.any() or later.sum() == mine.sum():
        raise LabelError(f"{c.where}: give the first frame of the daughters, in which the label is still {c.track}.")
    new = int(work.new()[0])
    work.number[later] = new
    work.mothers |= {new: c.track, other: c.track}
    return f"{c.track} divides into {new} and {other} before frame {c.first}"


def _mother(work: _Work, c: Correction) -> str:
    work.all_rows(c, c.track)
    work.mothers[c.track] = c.other or 0
    return f"{c.other} is the mother of {c.track}" if c.other else f"{c.track} has no mother"


def _another(work: _Work, c: Correction) -> int:
    if c.other is None or c.other == c.track:
        raise LabelError(f"{c.where}: to {c.action} {c.track}, give the number of another nucleus.")
    work.all_rows(c, c.other)
    return c.other


_ACTIONS: dict[Action, Callable[[_Work, Correction], str]] = {
    "remove": _remove,
    "join": _join,
    "split": _split,
    "swap": _swap,
    "separate": _separate,
    "divide": _divide,
    "mother": _mother,
}

ACTIONS: tuple[Action, ...] = tuple(_ACTIONS)
"""All actions, as they are written in files."""
