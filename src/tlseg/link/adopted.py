"""Lineage of labels whose numbers are tracks already: one number is one nucleus, and mothers are told.

No number is changed and no link is guessed, so the confidence of every join is 1. What is told must not contradict the
labels: a mother ends before her daughters begin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlseg.errors import LabelError
from tlseg.link.lineage import DIVISION, GAP, LINK, Edges, Lineage, assemble
from tlseg.link.objects import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Nuclei by the number they have through time.

    Attributes
    ----------
    t, label : (n,) int64
        Frame and number of each nucleus, ascending by (label, t).
    track : (m,) int64
        The numbers, ascending.
    first, last : (m,) int64
        Rows in which each begins and ends.
    """

    t: Ints
    label: Ints
    track: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, t: Ints, label: Ints) -> Numbers:
        """Sort nuclei, shape (n,), each of them once."""
        order = np.lexsort((t, label))
        track, first, count = np.unique(label[order], return_index=True, return_counts=True)
        return cls(t[order], label[order], track, first, first + count - 1)

    @property
    def rank(self) -> Ints:
        """Place of each nucleus's number among all numbers, from 1, shape (n,)."""
        return np.repeat(np.arange(1, len(self.track) + 1), self.last - self.first + 1)


def adopt(numbers: Numbers, *, daughter: Ints, mother: Ints, where: str) -> Lineage:
    """Take numbers for tracks.

    Parameters
    ----------
    numbers
        The nuclei.
    daughter, mother
        Tracks of which one comes from the other, shape (k,).
    where
        Who says so, for messages.

    Raises
    ------
    LabelError
        If one of them is not there, a track has two mothers or is its own ancestor, or a mother is there when her
        daughter is.
    """
    parent_of = _parents(numbers, daughter, mother, where=where)
    born = np.flatnonzero(parent_of)
    same = np.flatnonzero(numbers.label[1:] == numbers.label[:-1])
    near = numbers.t[same + 1] == numbers.t[same] + 1
    edges = Edges(
        np.concatenate([same, numbers.last[parent_of[born] - 1]]),
        np.concatenate([same + 1, numbers.first[born - 1]]),
        np.concatenate([np.where(near, LINK, GAP), np.full(len(born), DIVISION)]),
        np.ones(len(same) + len(born)),
    )
    number = np.append(0, numbers.track)
    return assemble(numbers.t, numbers.label, edges, track=numbers.rank, parent_of=parent_of, number=number)


def _parents(numbers: Numbers, daughter: Ints, mother: Ints, *, where: str) -> Ints:
    """Rank of each track's mother, 0 where none; index 0 is unused."""
    unknown = ~np.isin(mother, numbers.track)
    if unknown.any():
        raise LabelError(
            f"{where} makes {mother[unknown][0]} the mother of {daughter[unknown][0]}, but no frame of the labels has "
            f"{mother[unknown][0]}{_such(unknown)}. Give 0 as the mother of a track that has none, or correct the labels."
        )
    parent_of = np.zeros(len(numbers.track) + 1, dtype=np.int64)
    child, parent = (1 + np.searchsorted(numbers.track, v) for v in (daughter, mother))
    parent_of[child] = parent
    twice = parent_of[child] != parent
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise LabelError(
            f"{where} gives {daughter[row]} two mothers, {mother[row]} and {numbers.track[parent_of[child[row]] - 1]}"
            f"{_such(twice)}. A nucleus comes from one; correct the mothers."
        )
    circular = _ancestors_of_themselves(parent_of)
    if len(circular):
        raise LabelError(
            f"{where} makes {numbers.track[circular[0] - 1]} its own ancestor"
            f"{_such(np.ones(len(circular), dtype=np.bool_))}. Correct the mothers."
        )
    end, begin = numbers.t[numbers.last[parent - 1]], numbers.t[numbers.first[child - 1]]
    together = end >= begin
    if together.any():
        row = int(np.flatnonzero(together)[0])
        raise LabelError(
            f"{where} makes {mother[row]} the mother of {daughter[row]}, but in the labels {mother[row]} lasts until frame "
            f"{end[row]} and {daughter[row]} begins in frame {begin[row]}{_such(together)}. A mother ends before her "
            "daughters begin: correct the labels, or the mothers."
        )
    return parent_of


def _ancestors_of_themselves(parent_of: Ints) -> Ints:
    """Ranks of tracks that one comes back to, going from mother to mother."""
    up = parent_of.copy()
    for _ in range(
        len(parent_of).bit_length()
    ):  # twice as far each time: who is not at a founder then goes in a circle
        up = up[up]
    return np.unique(up[up > 0])


def _such(wrong: np.ndarray) -> str:
    """How many there are of the first thing that is wrong; nothing where it is the only one."""
    many = int(np.count_nonzero(wrong))
    return f" ({many} such cases)" if many > 1 else ""
