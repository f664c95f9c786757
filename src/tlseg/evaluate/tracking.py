"""Count the work that turns the result's tracks into the truth's.

DET, TRA and LNK are the Cell Tracking Challenge's: weighted counts of corrections to the graph (Matula et al. 2015),
here on arrays, so that a movie of a million objects needs no graph library. CT and TF are those of Ulman et al. 2017,
on tracks as `TrackGraph` has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tlseg.evaluate.lineage import TrackGraph, track_spans
from tlseg.evaluate.lineage_scores import cell_cycle_accuracy, complete_lineages, higher_order_accuracy
from tlseg.evaluate.overlap import Ints

# Matula et al. 2015: cost of each correction.
WEIGHTS = {"ns": 5.0, "fn": 10.0, "fp": 1.0, "ed": 1.0, "ea": 1.5, "ec": 1.0}


@dataclass(frozen=True, slots=True)
class GraphErrors:
    """Corrections that turn the result's graph into the truth's.

    Attributes
    ----------
    ns : int
        Splits: a result object over m truth objects needs m - 1.
    fn, fp : int
        Objects to add, to delete.
    ed, ea, ec : int
        Links to delete, to add, to change between *within a track* and *mother to daughter*.
    """

    ns: int
    fn: int
    fp: int
    ed: int
    ea: int
    ec: int

    def cost(self, *kinds: str) -> float:
        """Weighted sum of these kinds of correction."""
        return sum(WEIGHTS[kind] * float(getattr(self, kind)) for kind in kinds)


@dataclass(frozen=True, slots=True)
class TrackScores:
    """Tracking scores, 0 to 1 with 1 the best; None if the truth has nothing to find.

    Attributes
    ----------
    det, tra, lnk : float
        Detection, tracking and linking: 1 - min(cost, cost of starting from nothing) / that cost.
    ct : float
        Complete tracks: F1 of tracks with the truth's start and end and one partner all along.
    tf : float
        Track fractions: longest unbroken share of a truth track that one result track follows, mean over the truth
        tracks found at all.
    errors : GraphErrors
    n_truth_tracks, n_result_tracks : int
    complete_lineages : float
        Share of the truth's lineages without a mistake, see `tlseg.evaluate.lineage_scores`.
    n_truth_lineages : int
    cca, hota : float
        Cell-cycle accuracy, and higher order tracking accuracy, see there.
    """

    det: float | None
    tra: float | None
    lnk: float | None
    ct: float | None
    tf: float | None
    errors: GraphErrors
    n_truth_tracks: int
    n_result_tracks: int
    complete_lineages: float | None
    n_truth_lineages: int
    cca: float | None
    hota: float | None


def score_tracks(truth: TrackGraph, result: TrackGraph, holder: Ints) -> TrackScores:
    """Compare two track graphs.

    Parameters
    ----------
    truth, result : TrackGraph
    holder : (len(truth),) int64
        Row of the result object that holds more than half of each truth object; -1 where none does.
    """
    errors = count_errors(truth, result, holder)
    n, m = len(truth), len(truth.edges)
    vertices, links = ("ns", "fn", "fp"), ("ed", "ea", "ec")
    from_nothing = {"fn": n * WEIGHTS["fn"], "ea": m * WEIGHTS["ea"]}
    partner = _sole_holder(holder, len(result))
    whole, lineages = complete_lineages(truth, result, partner)
    return TrackScores(
        det=_score(errors.cost(*vertices), from_nothing["fn"]),
        tra=_score(errors.cost(*vertices, *links), from_nothing["fn"] + from_nothing["ea"]),
        lnk=_score(errors.cost(*links), from_nothing["ea"]),
        ct=complete_tracks(truth, result, partner),
        tf=track_fractions(truth, result, partner),
        errors=errors,
        n_truth_tracks=len(np.unique(truth.track)),
        n_result_tracks=len(np.unique(result.track)),
        complete_lineages=whole / lineages if lineages else None,
        n_truth_lineages=lineages,
        cca=cell_cycle_accuracy(truth, result),
        hota=higher_order_accuracy(truth, result, holder),
    )


def count_errors(truth: TrackGraph, result: TrackGraph, holder: Ints) -> GraphErrors:
    """Count the corrections; see `score_tracks` for the arguments."""
    held = np.bincount(holder[holder >= 0], minlength=len(result))
    truth_of = np.full(len(result), -1, dtype=np.int64)  # of result objects that hold exactly one
    found = np.flatnonzero(holder >= 0)
    truth_of[holder[found]] = found
    truth_of[held != 1] = -1

    mapped = truth_of[result.edges].reshape(-1, 2)
    inner = (mapped >= 0).all(axis=1)
    wanted = truth.edges[:, 0] * max(len(truth), 1) + truth.edges[:, 1]
    present = mapped[inner, 0] * max(len(truth), 1) + mapped[inner, 1]
    shared, at_truth, at_result = np.intersect1d(wanted, present, assume_unique=True, return_indices=True)
    differs = truth.between[at_truth] != result.between[inner][at_result]
    return GraphErrors(
        ns=int(np.maximum(held - 1, 0).sum()),
        fn=int((holder < 0).sum()),
        fp=int((held == 0).sum()),
        ed=len(present) - len(shared),
        ea=len(wanted) - len(shared),
        ec=int(differs.sum()),
    )


def complete_tracks(truth: TrackGraph, result: TrackGraph, partner: Ints) -> float | None:
    """Return CT, 2 * complete / (truth tracks + result tracks).

    A truth track is complete when one result track alone holds its objects and starts and ends in the same frames.
    """
    t_track, r_track = truth.track, result.track
    (t_start, t_end), (r_start, r_end) = track_spans(truth.frame, t_track), track_spans(result.frame, r_track)
    n, m = len(t_start), len(r_start)
    if not n:
        return None
    theirs = np.where(partner >= 0, r_track[partner] if m else -1, -1)
    low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
    np.minimum.at(low, t_track, theirs)
    np.maximum.at(high, t_track, theirs)
    one = (low == high) & (low >= 0)
    other = low[one]
    complete = (t_start[one] == r_start[other]) & (t_end[one] == r_end[other])
    return 2 * int(complete.sum()) / (n + m)


def track_fractions(truth: TrackGraph, result: TrackGraph, partner: Ints) -> float | None:
    """Return TF, the mean over detected truth tracks of their longest unbroken share in one result track."""
    if not len(truth):
        return None
    t_track = truth.track
    theirs = np.where(partner >= 0, result.track[partner] if len(result) else -1, -1)
    order = np.lexsort((truth.frame, t_track))
    t, r = t_track[order], theirs[order]
    new = np.concatenate([[True], (t[1:] != t[:-1]) | (r[1:] != r[:-1])])
    first = np.flatnonzero(new)
    lengths = np.diff(first, append=len(t))
    tracked = np.bincount(t_track)
    longest = np.zeros(len(tracked), dtype=np.int64)
    held = r[first] >= 0
    np.maximum.at(longest, t[first][held], lengths[held])
    share = longest / tracked
    return math.fsum(share[share > 0]) / int((share > 0).sum()) if share.any() else 0.0


def _sole_holder(holder: Ints, n_result: int) -> Ints:
    """Drop holders of more than one object: they count as no one's partner."""
    held = np.bincount(holder[holder >= 0], minlength=n_result)
    sole = holder.copy()
    found = holder >= 0
    sole[found] = np.where(held[holder[found]] == 1, holder[found], -1)
    return sole


def _score(cost: float, from_nothing: float) -> float | None:
    return 1 - min(cost, from_nothing) / from_nothing if from_nothing else None
