"""Choose the pairs of least total cost, each row and column in at most one pair, in memory that grows with the pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching


def cheapest_pairs(
    row: NDArray[np.int64], column: NDArray[np.int64], cost: NDArray[np.float64], *, alone: float
) -> NDArray[np.int64]:
    """Choose pairs of least total cost.

    Parameters
    ----------
    row, column
        Ends of the candidate pairs, each pair once, shape (m,), m >= 1.
    cost
        Cost of each pair, shape (m,), below `alone`.
    alone
        Cost of a row that is in no pair.

    Returns
    -------
    ndarray of int64
        Indices of the chosen pairs, ascending.
    """
    rows, row_of = np.unique(row, return_inverse=True)
    columns, column_of = np.unique(column, return_inverse=True)
    n, m = len(rows), len(columns)
    # Every row is matched once, to a column or to a dummy of its own, so a constant added to all costs changes nothing;
    # it keeps them positive, since a sparse zero would be no edge.
    weight = np.concatenate([cost, np.full(n, alone)])
    weight += 1.0 - min(0.0, float(weight.min()))
    graph = coo_array(
        (weight, (np.concatenate([row_of, np.arange(n)]), np.concatenate([column_of, m + np.arange(n)]))),
        shape=(n, m + n),
    )
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph.tocsr())
    partner = np.full(n, -1, dtype=np.int64)
    partner[matched_rows] = matched_columns
    return np.flatnonzero(partner[row_of] == column_of)
