"""Make a lineage from nuclei whose tracks are known: each number is one nucleus, and its mother is given.

No number changes and no link is guessed, so every join has a confidence of 1. The given mothers must not contradict the
labels: a mother must end before her daughters begin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlseg.errors import LabelError
from tlseg.link.lineage import DIVISION, GAP, LINK, Edges, Lineage, assemble
from tlseg.link.objects import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Nuclei grouped by their number, which is the same in every frame.

    Attributes
    ----------
    t, label : (n,) int64
        Frame and label of each nucleus in each frame, sorted by (number, t).
    track : (m,) int64
        The distinct numbers in ascending order.
    first, last : (m,) int64
        First and last row of each number.
    """

    t: Ints
    label: Ints
    track: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, t: Ints, label: Ints, number: Ints | None = None) -> Numbers:
        """Sort nuclei, shape (n,), by their number, or label if not given; each pair of frame and number occurs once."""
        number = label if number is None else number
        order = np.lexsort((t, number))
        track, first, count = np.unique(number[order], return_index=True, return_counts=True)
        return cls(t[order], label[order], track, first, first + count - 1)

    @property
    def rank(self) -> Ints:
        """Rank of the number of each row among all numbers, from 1, shape (n,)."""
        return np.repeat(np.arange(1, len(self.track) + 1), self.last - self.first + 1)


def adopt(numbers: Numbers, *, daughter: Ints, mother: Ints, where: str) -> Lineage:
    """Use numbers as tracks.

    Parameters
    ----------
    numbers
        The nuclei.
    daughter, mother
        Each daughter's track and her mother's, shape (k,).
    where
        Source of the mothers, for messages.

    Raises
    ------
    LabelError
        If a mother is not in the labels, a track has two mothers or is its own ancestor, or a mother does not end before
        her daughter begins.
    """
    parent_of = _parents(numbers, daughter, mother, where=where)
    born = np.flatnonzero(parent_of)
    same = np.flatnonzero(numbers.rank[1:] == numbers.rank[:-1])
    near = numbers.t[same + 1] == numbers.t[same] + 1
    joins = (
        (LINK, same[near], same[near] + 1),
        (GAP, same[~near], same[~near] + 1),
        (DIVISION, numbers.last[parent_of[born] - 1], numbers.first[born - 1]),
    )
    edges = Edges.of(*((kind, a, b, np.ones(len(a))) for kind, a, b in joins))
    number = np.append(0, numbers.track)
    return assemble(numbers.t, numbers.label, edges, track=numbers.rank, parent_of=parent_of, number=number)


def _parents(numbers: Numbers, daughter: Ints, mother: Ints, *, where: str) -> Ints:
    """Return the rank of each track's mother, 0 if it has none; index 0 is unused."""
    unknown = ~np.isin(mother, numbers.track)
    if unknown.any():
        raise LabelError(
            f"{where} makes {mother[unknown][0]} the mother of {daughter[unknown][0]}, but no frame of the labels "
            f"contains {mother[unknown][0]}{_cases(unknown)}. Give 0 as the mother if there is none, or correct the "
            "labels."
        )
    parent_of = np.zeros(len(numbers.track) + 1, dtype=np.int64)
    child, parent = (1 + np.searchsorted(numbers.track, v) for v in (daughter, mother))
    parent_of[child] = parent
    twice = parent_of[child] != parent
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise LabelError(
            f"{where} gives {daughter[row]} two mothers, {mother[row]} and {numbers.track[parent_of[child[row]] - 1]}"
            f"{_cases(twice)}. A nucleus has only one mother: correct the mothers."
        )
    circular = _ancestors_of_themselves(parent_of)
    if len(circular):
        raise LabelError(
            f"{where} makes {numbers.track[circular[0] - 1]} its own ancestor"
            f"{_cases(np.ones(len(circular), dtype=np.bool_))}. Correct the mothers."
        )
    end, begin = numbers.t[numbers.last[parent - 1]], numbers.t[numbers.first[child - 1]]
    together = end >= begin
    if together.any():
        row = int(np.flatnonzero(together)[0])
        raise LabelError(
            f"{where} makes {mother[row]} the mother of {daughter[row]}, but in the labels {mother[row]} lasts until frame "
            f"{end[row]} and {daughter[row]} begins in frame {begin[row]}{_cases(together)}. A mother must end before "
            "her daughters begin: correct the labels or the mothers."
        )
    return parent_of


def _ancestors_of_themselves(parent_of: Ints) -> Ints:
    """Return ranks of tracks on a cycle of mothers."""
    up = parent_of.copy()
    # Each step doubles how far up one goes, so whoever has not passed a founder by the end has landed on a cycle.
    for _ in range(len(parent_of).bit_length()):
        up = up[up]
    return np.unique(up[up > 0])


def _cases(wrong: np.ndarray) -> str:
    """Return how many cases there are, for a message that names the first; empty if it is the only one."""
    many = int(np.count_nonzero(wrong))
    return f" ({many} such cases)" if many > 1 else ""
