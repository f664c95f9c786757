"""Say what survives of the biology: whole lineages, the lengths of cell cycles, who stays with whom.

If links are judged one by one, a movie of thousands can look right although no lineage is. These scores judge the whole: a
lineage counts when nothing in it is wrong.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlseg.evaluate.lineage import TrackGraph, track_spans
from tlseg.evaluate.overlap import Ints


def complete_lineages(truth: TrackGraph, result: TrackGraph, partner: Ints) -> tuple[int, int]:
    """Count lineages (an object of the truth and all that came of it) that the result has without a mistake.

    Each object must have a partner of its own, each link be there, and be a division exactly where it is one; a mother with
    one daughter and a nucleus that goes on are the same. What the result adds before, after or elsewhere is not held
    against it (`CompleteTracks` of traccuracy, by its CTC errors).

    Parameters
    ----------
    truth, result : TrackGraph
    partner : (len(truth),) int64
        Row of the result object that holds more than half of each truth object and of no other; -1 where none does.

    Returns
    -------
    complete, all : int
    """
    if not len(truth):
        return 0, 0
    source, target = truth.edges.T
    joined = coo_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(len(truth),) * 2)
    n, lineage = connected_components(joined, directed=False)
    # A link and its kind as one number; links ascend, and so do these.
    by_number = np.array([2 * max(len(result), 1), 2])
    ours = result.edges @ by_number + result.branching
    wanted = partner[truth.edges] @ by_number + truth.branching
    there = np.append(ours, -1)[np.searchsorted(ours, wanted)] == wanted
    right = there & (partner[truth.edges] >= 0).all(axis=1)
    broken = np.zeros(n, dtype=np.bool_)
    broken[lineage[partner < 0]] = True
    broken[lineage[source[~right]]] = True
    return int(n - broken.sum()), int(n)


def cell_cycle_accuracy(truth: TrackGraph, result: TrackGraph) -> float | None:
    """Return CCA: 1 minus the largest gap between the two cumulative distributions of cell-cycle lengths.

    A cycle is a track from one division to another (Ulman et al. 2017). None where the truth has none, 0 where the result
    has none.
    """
    theirs, ours = _cycle_lengths(truth), _cycle_lengths(result)
    if not len(theirs):
        return None
    if not len(ours):
        return 0.0
    lengths = np.union1d(theirs, ours)
    below = [np.searchsorted(np.sort(side), lengths, side="right") / len(side) for side in (theirs, ours)]
    return float(1 - np.abs(below[0] - below[1]).max())


def higher_order_accuracy(truth: TrackGraph, result: TrackGraph, holder: Ints) -> float | None:
    """Return HOTA at the one threshold of `holder`: detection and association in one number (Luiten et al. 2021).

    Parameters
    ----------
    truth, result : TrackGraph
    holder : (len(truth),) int64
        Row of the result object that holds more than half of each truth object; -1 where none does.
    """
    if not len(truth):
        return None
    found = np.flatnonzero(holder >= 0)
    missed, extra = holder < 0, np.bincount(holder[found], minlength=len(result)) == 0
    t_track, r_track = truth.track, result.track
    if not len(found):
        return 0.0
    width = int(r_track.max()) + 1
    pairs, shared = np.unique(t_track[found] * width + r_track[holder[found]], return_counts=True)
    a, b = np.divmod(pairs, width)
    # A pair's union: all the truth track has, matched or missed, and all the result track has, matched or extra.
    of_truth = np.bincount(t_track, minlength=int(t_track.max()) + 1)
    of_result = np.bincount(np.concatenate([r_track[holder[found]], r_track[extra]]), minlength=width)
    union = of_truth[a] + of_result[b] - shared
    total = math.fsum(shared * (shared / union))
    return math.sqrt(total / (len(found) + int(missed.sum()) + int(extra.sum())))


def _cycle_lengths(graph: TrackGraph) -> Ints:
    """Frames from first to last of each track that begins and ends with a division."""
    if not len(graph):
        return np.empty(0, dtype=np.int64)
    track, divides = graph.track, graph.out_degree > 1
    start, stop = track_spans(graph.frame, track)
    ends, begins = np.zeros(len(start), dtype=np.bool_), np.zeros(len(start), dtype=np.bool_)
    ends[track[divides]] = True
    source, target = graph.edges.T
    begins[track[target[divides[source]]]] = True
    return np.asarray((stop - start)[begins & ends], dtype=np.int64)
