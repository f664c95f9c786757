"""Count the divisions of the truth that the result found, and how many frames off.

A division is right when mother and daughters are matched objects and linked alike. One that comes a few frames early
or late is right at that tolerance when the mothers match in the earlier frame and both daughter branches lead to
matched descendants (the rules of `DivisionMetrics` in traccuracy 0.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlseg.evaluate.lineage import TrackGraph
from tlseg.evaluate.overlap import Ints
from tlseg.evaluate.scores import precision_recall


@dataclass(frozen=True, slots=True)
class DivisionScores:
    """Divisions found, at one tolerance.

    Attributes
    ----------
    tolerance_frames : int
        Frames a division may be early or late.
    n_truth, n_result, correct : int
        Divisions in the truth, in the result, and agreeing.
    precision, recall, f1 : float
        0 to 1; None if there is nothing to find.
    """

    tolerance_frames: int
    n_truth: int
    n_result: int
    correct: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class _Tree:
    """A track graph to walk along: children of each node, one parent (-1: none), and each node's match (-1: none)."""

    frame: Ints
    first_child: Ints
    children: Ints
    parent: Ints
    match: Ints

    def daughters(self, node: int) -> list[int]:
        return [int(c) for c in self.children[self.first_child[node] : self.first_child[node + 1]]]

    def ancestor_in(self, frame: int, node: int) -> int:
        """Ancestor (or the node itself) in `frame`; -1 if the line has none there."""
        while node >= 0 and self.frame[node] > frame:
            node = int(self.parent[node])
        return node if node >= 0 and self.frame[node] == frame else -1

    def next_matched(self, node: int) -> int:
        """First matched node from here on before another division; -1 if there is none."""
        while self.match[node] < 0:
            daughters = self.daughters(node)
            if len(daughters) != 1:
                return -1
            node = daughters[0]
        return node


def score_divisions(
    truth: TrackGraph, result: TrackGraph, pairs: tuple[Ints, Ints], *, tolerance_frames: int
) -> list[DivisionScores]:
    """Score divisions at each tolerance from 0 to `tolerance_frames`.

    Parameters
    ----------
    truth, result : TrackGraph
    pairs : (k,), (k,) int64
        Rows of truth and result objects matched one-to-one.
    tolerance_frames : int
        Largest number of frames a division may be early or late.

    Returns
    -------
    list of DivisionScores
        One for each tolerance, ascending.
    """
    t, r = _tree(truth, pairs[0], pairs[1]), _tree(result, pairs[1], pairs[0])
    theirs, ours = np.flatnonzero(truth.out_degree > 1), np.flatnonzero(result.out_degree > 1)
    correct, missed, wrong = _exact(t, r, theirs, ours)
    shifts = _shifted(t, r, missed, wrong, tolerance_frames)
    scores = []
    for tolerance in range(tolerance_frames + 1):
        found = correct + sum(shift <= tolerance for shift in shifts)
        precision, recall, f1 = precision_recall(found, len(theirs), len(ours))
        scores.append(DivisionScores(tolerance, len(theirs), len(ours), found, precision, recall, f1))
    return scores


def _tree(graph: TrackGraph, mine: Ints, other: Ints) -> _Tree:
    match, parent = (np.full(len(graph), -1, dtype=np.int64) for _ in range(2))
    match[mine] = other
    source, target = graph.edges[::-1].T  # reversed: of two parents the first one stays
    parent[target] = source
    first = np.concatenate([[0], np.cumsum(graph.out_degree)])
    return _Tree(graph.frame, first, graph.edges[:, 1], parent, match)


def _exact(t: _Tree, r: _Tree, theirs: Ints, ours: Ints) -> tuple[int, list[int], list[int]]:
    """Count the divisions right to the frame; return those missed, and those called without one to match."""
    calls = {int(node) for node in ours}
    correct, missed = 0, []
    for mother in theirs:
        partner = int(t.match[mother])
        if partner not in calls:
            missed.append(int(mother))
            continue
        calls.remove(partner)
        daughters = t.daughters(int(mother))
        correct += all(t.match[d] >= 0 and r.parent[t.match[d]] == partner for d in daughters)
    return correct, missed, sorted(calls)


def _shifted(t: _Tree, r: _Tree, missed: list[int], wrong: list[int], tolerance: int) -> list[int]:
    """Return the shift in frames of each pair of a missed and a wrongly called division that are one; nearest first."""
    by_frame: dict[int, list[int]] = {}
    for call in wrong:
        by_frame.setdefault(int(r.frame[call]), []).append(call)
    shifts, used = [], set()
    for shift in range(1, tolerance + 1):
        for mother in missed:
            near = [c for d in (-shift, shift) for c in by_frame.get(int(t.frame[mother]) + d, [])]
            for call in near:
                if ("t", mother) in used or ("r", call) in used:
                    continue
                early, late = ((r, call), (t, mother)) if r.frame[call] < t.frame[mother] else ((t, mother), (r, call))
                if _same_division(*early, *late):
                    used |= {("t", mother), ("r", call)}
                    shifts.append(shift)
    return shifts


def _same_division(early: _Tree, first: int, late: _Tree, second: int) -> bool:
    """Whether `first` divides early where `second` divides late."""
    frame = int(early.frame[first])
    mother = late.ancestor_in(frame, second)
    if mother < 0 or early.match[first] != mother:
        return False
    reached = [early.next_matched(d) for d in early.daughters(first)]
    return sum(node >= 0 and late.ancestor_in(frame, int(early.match[node])) == mother for node in reached) == 2
