"""The past and future of each nucleus, found by walking along its links.

A division is told by more than one frame: the mother shrinks and brightens, and her daughters stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlseg.link.objects import Floats, Ints

# Frames next to a division that show a condensed nucleus, and frames beyond them over which the median is taken.
_MITOSIS, _WINDOW = 1, 3


@dataclass(frozen=True, slots=True)
class Chains:
    """Links between rows, as pointers both ways.

    Parameters
    ----------
    following, preceding
        Row each row is joined to, -1 where none, shape (n,).
    """

    following: Ints
    preceding: Ints

    @classmethod
    def of(cls, n: int, a: Ints, b: Ints) -> Chains:
        """Chains of `n` rows of which `a` are joined to `b`."""
        nothing = np.full(n, -1, dtype=np.int64)
        return cls(nothing, nothing).joined(a, b)

    def joined(self, a: Ints, b: Ints) -> Chains:
        """Add joins from ends `a` to starts `b`."""
        following, preceding = self.following.copy(), self.preceding.copy()
        following[a], preceding[b] = b, a
        return Chains(following, preceding)

    def heads(self) -> Ints:
        """First row of the chain that each row is in, shape (n,)."""
        earlier = np.where(self.preceding >= 0, self.preceding, np.arange(len(self.preceding)))
        while (self.preceding[earlier] >= 0).any():
            earlier = earlier[earlier]  # twice as far back each time
        return earlier

    def at_rest(self, values: Floats, rows: Ints) -> Floats:
        """Median of what a nucleus was before it condensed; its own value where it has no past, shape (m,)."""
        return _median(values, rows, self.preceding)

    def later(self, values: Floats, rows: Ints) -> Floats:
        """Median of what a nucleus is after it has relaxed; its own value where it has no future, shape (m,)."""
        return _median(values, rows, self.following)


def _median(values: Floats, rows: Ints, step: Ints) -> Floats:
    """Lower median over the rows of a window some steps away, as many of them as there are."""
    at, columns = rows, []
    for _ in range(_MITOSIS + _WINDOW):
        at = np.where(at >= 0, step[at], -1)
        columns.append(np.where(at >= 0, values[at], np.inf))
    near, window = columns[0], np.sort(np.stack(columns[_MITOSIS:], axis=1), axis=1)
    count = np.isfinite(window).sum(axis=1)
    median = window[np.arange(len(rows)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, median, np.where(np.isfinite(near), near, values[rows]))
