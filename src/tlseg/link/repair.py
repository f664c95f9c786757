"""Tell from tracks which labels hold two nuclei, and which are halves of one.

Only what its neighbours in time contradict on both sides is repaired: a nucleus that is missing between two frames it is
seen in, where one label is as large as it and another together; or a piece seen for a few frames, beside a nucleus that
is too small just then. What is missing without a label in its place stays a gap: no voxel is invented.
"""

from __future__ import annotations

import pandas as pd

from tlseg.link.cut import find_cut
from tlseg.link.link import trace
from tlseg.link.merged import find_merged
from tlseg.link.mistakes import Repair
from tlseg.link.settings import LinkSettings

__all__ = ["Repair", "find_repairs"]


def find_repairs(
    objects: pd.DataFrame, overlaps: pd.DataFrame, *, settings: LinkSettings | None = None
) -> list[Repair]:
    """Mistakes that tracks show, in order of frame and label; no label is in two of them.

    Parameters
    ----------
    objects, overlaps, settings
        As for `link_objects`.
    """
    traced = trace(objects, overlaps, settings=settings)
    cut = find_cut(traced)
    found = [*find_merged(traced, halves=[(r.frame, r.labels[0], r.labels[1]) for r in cut]), *cut]
    used: set[tuple[int, int]] = set()
    kept = []
    for repair in sorted(found, key=lambda r: (r.frame, r.kind != "merged", r.labels)):
        mine = {(repair.frame, label) for label in repair.labels}
        if not mine & used:
            used |= mine
            kept.append(repair)
    return kept
