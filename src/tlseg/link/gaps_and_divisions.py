"""Explain what the links from frame to frame leave unexplained: ends and starts are gaps, divisions, or the embryo's edge.

One assignment decides between gaps and divisions. It is made twice, since a nucleus is judged by its past and future, and
the first time tells how these continue beyond a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tlseg.link.assign import ALONE, assign, best_other, preference
from tlseg.link.candidates import Pairs
from tlseg.link.chains import Chains
from tlseg.link.divisions import Families, features, part_ways
from tlseg.link.families import Triples, of_two_starts, with_child
from tlseg.link.fitted import division_odds
from tlseg.link.gaps import gap_candidates
from tlseg.link.objects import Floats, Ints, Objects
from tlseg.link.settings import LinkSettings
from tlseg.link.stabilise import Stabilised


@dataclass(frozen=True, slots=True)
class Explained:
    """Gaps and divisions, and how sure each is.

    Parameters
    ----------
    gaps, gap_sure
        Ends joined to starts, and their confidence.
    families, family_sure
        Divisions and their confidence.
    """

    gaps: Pairs
    gap_sure: Floats
    families: Families
    family_sure: Floats


def explain_ends(
    objects: Objects,
    placed: Stabilised,
    trees: list[cKDTree | None],
    chains: Chains,
    *,
    reach: float,
    settings: LinkSettings,
) -> Explained:
    """Join ends of chains to starts, as gaps or as divisions.

    Parameters
    ----------
    objects, placed, trees
        Nuclei, their stabilised positions, and a tree of these per frame.
    chains
        Links from frame to frame.
    reach
        Farthest motion between two frames in micrometres.
    """
    ends = np.flatnonzero((chains.following < 0) & (objects.t < objects.last))
    starts = np.flatnonzero((chains.preceding < 0) & (objects.t > objects.first))
    gaps = gap_candidates(objects, placed, ends, starts, reach=reach, settings=settings)
    if not settings.divisions:
        return _assign(gaps, Families.none(), Families.none())
    kept_one = with_child(objects, placed, trees, chains, starts, settings=settings)
    kept_none = of_two_starts(objects, placed, chains, ends, starts, settings=settings)
    revived = np.zeros(len(objects), dtype=bool)
    revived[gaps.a[gaps.cost < ALONE]] = True

    def explain(known: Chains) -> Explained:
        return _assign(
            gaps,
            _families(objects, placed, known, kept_one, revived, settings),
            _families(objects, placed, known, kept_none, revived, settings),
        )

    first = explain(chains)
    return explain(chains.joined(first.gaps.a, first.gaps.b))


def _families(
    objects: Objects,
    placed: Stabilised,
    chains: Chains,
    triples: Triples,
    revived: NDArray[np.bool_],
    settings: LinkSettings,
) -> Families:
    mother, child, sister = triples
    known = features(objects, placed, chains, mother, child, sister, revived=revived)
    cost = division_odds(objects).cost(known, least=settings.division_probability)
    likely = Families(mother, child, sister, cost).take(np.flatnonzero(cost < ALONE))
    return likely.take(np.flatnonzero(part_ways(objects, placed, chains, likely.child, likely.sister)))


def _assign(gaps: Pairs, kept_one: Families, kept_none: Families) -> Explained:
    """Take divisions with two starts first, the best first; then let each start that is left choose its past."""
    gap_sure, one_sure, none_sure = _sure(gaps, kept_one, kept_none)
    best = _best_first(kept_none)
    twins = kept_none.take(best)
    starts = np.concatenate([twins.child, twins.sister])
    open_gap = np.flatnonzero(~np.isin(gaps.b, starts) & ~np.isin(gaps.a, twins.mother))
    open_one = np.flatnonzero(~np.isin(kept_one.sister, starts))
    # A start is the row, the node it may continue or come from the column. An end takes one continuation and a linked
    # mother one more daughter, so both are columns of their own.
    taken = assign(
        np.concatenate([gaps.b[open_gap], kept_one.sister[open_one]]),
        np.concatenate([gaps.a[open_gap], kept_one.mother[open_one]]),
        np.concatenate([gaps.cost[open_gap], kept_one.cost[open_one]]),
    )
    bridged = taken < len(open_gap)
    closed, other = open_gap[taken[bridged]], open_one[taken[~bridged] - len(open_gap)]
    return Explained(
        Pairs(gaps.a[closed], gaps.b[closed], gaps.cost[closed]),
        gap_sure[closed],
        twins.joined(kept_one.take(other)),
        np.concatenate([none_sure[best], one_sure[other]]),
    )


def _sure(gaps: Pairs, kept_one: Families, kept_none: Families) -> tuple[Floats, Floats, Floats]:
    """How sure each candidate is beside all others that give its end another future or one of its starts another past."""
    cost = np.concatenate([gaps.cost, kept_one.cost, kept_none.cost])
    ends = np.concatenate([gaps.a, kept_one.mother, kept_none.mother])
    starts = np.concatenate([gaps.b, kept_one.sister, kept_none.child, kept_none.sister])
    twins = slice(len(gaps) + len(kept_one), len(cost))
    by_start = best_other(starts, np.append(cost, kept_none.cost))
    rival = np.minimum(best_other(ends, cost), by_start[: len(cost)])
    rival[twins] = np.minimum(rival[twins], by_start[len(cost) :])
    sure = preference(cost, rival)
    return sure[: len(gaps)], sure[len(gaps) : twins.start], sure[twins]


def _best_first(found: Families) -> Ints:
    """Cheapest first, each nucleus used once."""
    used: set[int] = set()
    kept = []
    for index in np.lexsort((found.sister, found.child, found.mother, found.cost)).tolist():
        members = {int(rows[index]) for rows in (found.mother, found.child, found.sister)}
        if not members & used:
            used |= members
            kept.append(index)
    return np.sort(np.array(kept, dtype=np.int64))
