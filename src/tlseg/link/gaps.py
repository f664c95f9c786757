"""Find tracks that end and start a few frames apart and are one nucleus that was missed in between."""

from __future__ import annotations

import numpy as np

from tlseg.link.candidates import Pairs, link_cost, pairs_across
from tlseg.link.objects import Ints, Objects
from tlseg.link.settings import LinkSettings
from tlseg.link.stabilise import Stabilised

# What each missing frame adds to the cost: a nucleus that was never missed is the better explanation.
_PER_FRAME = 0.1


def gap_candidates(
    objects: Objects, placed: Stabilised, ends: Ints, starts: Ints, *, reach: float, settings: LinkSettings
) -> Pairs:
    """Pairs of an end and a later start with one to `max_gap` frames missing in between.

    Parameters
    ----------
    objects, placed
        Nuclei and their stabilised positions.
    ends, starts
        Rows without a link forward and without one backward, ascending.
    reach
        Farthest motion between two frames in micrometres; it grows with the square root of the time passed, as the
        path of a random walk does.
    settings
        `max_gap`, `neighbours` and the weights are used.

    Returns
    -------
    Pairs
        Cost: `candidates.link_cost` over the longer reach, plus 0.1 for each missing frame.
    """
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for missing in range(1, settings.max_gap + 1):
        wide = reach * float(np.sqrt(1 + missing))
        a, b = pairs_across(objects, placed, ends, starts, missing=missing, count=settings.neighbours, reach=wide)
        cost = link_cost(objects, placed, a, b, reach=wide, settings=settings) + _PER_FRAME * missing
        parts.append((a, b, cost))
    a, b, cost = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((b, a))
    return Pairs(a[order], b[order], cost[order])
