"""Choose among candidate pairs: each row takes one column or stays alone, at the least total cost.

This is the linear assignment problem, on a sparse graph of pairs. The result is an optimum of the whole problem; how far
each pair is from its next best alternative is its confidence.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlseg.assignment import cheapest_pairs
from tlseg.link.objects import Floats, Ints

# Cost at which a pair is no better than both staying alone; the unit of all costs.
ALONE = 1.0
# Difference of cost that makes a pair e times as likely as its alternative.
TEMPERATURE = 0.25
# Pairs solved at once, roughly: enough to be worth a call of the solver.
_PROBLEM = 1000


def assign(row: Ints, column: Ints, cost: Floats) -> Ints:
    """Choose pairs of least total cost, each row and each column at most once.

    Parameters
    ----------
    row, column
        Ends of the candidate pairs, numbers from 0 on, each pair at most once, shape (m,).
    cost
        Cost of each pair, shape (m,); a row left alone costs `ALONE`, so pairs of that cost or more are never taken.

    Returns
    -------
    Ints
        Indices of the chosen pairs, ascending.
    """
    useful = np.flatnonzero(cost < ALONE)
    row, column, cost = row[useful], column[useful], cost[useful]
    certain = _certain(row, column, cost)
    contested = np.flatnonzero(~np.isin(row, row[certain]) & ~np.isin(column, column[certain]))
    chosen = [certain]
    for part in _whole_components(row[contested], column[contested]):
        pairs = contested[part]
        chosen.append(pairs[cheapest_pairs(row[pairs], column[pairs], cost[pairs], alone=ALONE)])
    return np.asarray(useful[np.sort(np.concatenate(chosen))], dtype=np.int64)


def _certain(row: Ints, column: Ints, cost: Floats) -> Ints:
    """Pairs that every optimum takes, most of them where nuclei move less than they lie apart.

    Taking the pair must make any solution without it cheaper. In such a solution its row costs at least r, its next best
    choice or being alone. If its column is free, only that is replaced: `cost < r`. If not, its column costs at least o, the
    next best there, whose row is then left alone: `cost + ALONE < r + o`.
    """
    in_row = np.minimum(best_other(row, cost), ALONE)
    in_column = best_other(column, cost)
    return np.flatnonzero((cost < in_row) & (cost + ALONE < in_row + in_column))


def _whole_components(row: Ints, column: Ints) -> list[Ints]:
    """Split pairs into problems that share no row and no column; the solver's time grows with the square of one."""
    if not len(row):
        return []
    rows, row_of = np.unique(row, return_inverse=True)
    columns, column_of = np.unique(column, return_inverse=True)
    size = len(rows) + len(columns)
    joined = coo_array((np.ones(len(row)), (row_of, len(rows) + column_of)), shape=(size, size))
    component = connected_components(joined, directed=False)[1][row_of]
    order = np.argsort(component, kind="stable").astype(np.int64)
    first = np.flatnonzero(np.diff(component[order])) + 1
    return np.split(order, first[np.flatnonzero(np.diff(first // _PROBLEM)) + 1])


def confidence(row: Ints, column: Ints, cost: Floats, chosen: Ints) -> Floats:
    """How sure each chosen pair is, in (0, 1].

    `1 / (1 + exp((c - a) / 0.25))` with c the pair's cost and a the cost of its next best alternative: the cheapest
    other candidate of either end, or staying alone. A pair with no rival and no difference has 0.98, one that ties
    with its alternative 0.5, and one taken only for the sake of others less.

    Parameters
    ----------
    row, column, cost
        All candidate pairs, shape (m,).
    chosen
        Indices of the pairs taken.
    """
    return preference(cost, np.minimum(best_other(row, cost), best_other(column, cost)))[chosen]


def preference(cost: Floats, rival: Floats) -> Floats:
    """How sure candidates are whose best rivals cost `rival`, infinite if there is none; see `confidence`."""
    margin = np.minimum(rival, ALONE) - cost
    return np.asarray(1 / (1 + np.exp(np.clip(-margin / TEMPERATURE, -500, 500))), dtype=np.float64)


def best_other(group: Ints, cost: Floats) -> Floats:
    """Least cost among the other members of each pair's group, infinite where it is the only one; shape (m,)."""
    groups, pairs = int(group.max(initial=-1)) + 1, np.arange(len(group))
    best, second, leader = np.full(groups, np.inf), np.full(groups, np.inf), np.full(groups, -1)
    np.minimum.at(best, group, cost)
    cheapest = np.flatnonzero(cost == best[group])
    leader[group[cheapest]] = cheapest
    leads = leader[group] == pairs
    np.minimum.at(second, group[~leads], cost[~leads])
    return np.where(leads, second[group], best[group])
