"""Choose among candidate pairs: each row takes one column or stays alone, at the least total cost.

The result is one optimum of the whole problem; how far each pair is from its next best alternative is its confidence.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from tlseg.link.objects import Floats, Ints

# Cost at which a pair is no better than both staying alone; the unit of all costs.
ALONE = 1.0
# Difference of cost that makes a pair e times as likely as its alternative.
TEMPERATURE = 0.25


def assign(row: Ints, column: Ints, cost: Floats) -> Ints:
    """Choose pairs of least total cost, each row and each column at most once.

    Parameters
    ----------
    row, column
        Ends of the candidate pairs, any numbers, each pair at most once, shape (m,).
    cost
        Cost of each pair, shape (m,); a row left alone costs `ALONE`, so pairs of that cost or more are never taken.

    Returns
    -------
    Ints
        Indices of the chosen pairs, ascending.
    """
    useful = np.flatnonzero(cost < ALONE)
    if not len(useful):
        return np.asarray(useful, dtype=np.int64)
    rows, row_of = np.unique(row[useful], return_inverse=True)
    columns, column_of = np.unique(column[useful], return_inverse=True)
    n, m = len(rows), len(columns)
    # Every row is matched once, to a column or to a dummy of its own, so a constant added to all costs changes nothing;
    # it keeps them positive, since a sparse zero would be no edge.
    weight = np.concatenate([cost[useful], np.full(n, ALONE)])
    weight += 1.0 - min(0.0, float(weight.min()))
    graph = coo_array(
        (weight, (np.concatenate([row_of, np.arange(n)]), np.concatenate([column_of, m + np.arange(n)]))),
        shape=(n, m + n),
    )
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph.tocsr())
    partner = np.full(n, -1, dtype=np.int64)
    partner[matched_rows] = matched_columns
    return np.asarray(useful[partner[row_of] == column_of], dtype=np.int64)


def confidence(row: Ints, column: Ints, cost: Floats, chosen: Ints) -> Floats:
    """How sure each chosen pair is, in (0, 1).

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
    rival = np.minimum(_best_other(row, cost)[chosen], _best_other(column, cost)[chosen])
    margin = np.minimum(rival, ALONE) - cost[chosen]
    return np.asarray(1 / (1 + np.exp(np.clip(-margin / TEMPERATURE, -500, 500))), dtype=np.float64)


def _best_other(group: Ints, cost: Floats) -> Floats:
    """Least cost among the other members of each pair's group, infinite where it is the only one; shape (m,)."""
    if not len(group):
        return np.empty(0)
    order = np.lexsort((cost, group))
    sorted_group, sorted_cost = group[order], cost[order]
    first = np.append(True, np.diff(sorted_group) != 0)
    leader = np.flatnonzero(first)[np.cumsum(first) - 1]
    has_second = np.append(~first[1:], False)
    second = np.where(has_second, np.append(sorted_cost[1:], np.inf), np.inf)
    other = np.empty(len(group))
    other[order] = np.where(np.arange(len(order)) == leader, second[leader], sorted_cost[leader])
    return other
