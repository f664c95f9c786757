"""Join the nuclei of all frames into tracks and lineages.

Registration takes the embryo's own motion out. Then there are two steps, as in Jaqaman et al. 2008: one assignment per pair
of frames joins what stays the same, and another one over what is left closes gaps and finds divisions. The answer depends on
the nuclei alone: neither on the order of the rows nor on their provisional labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from tlseg.link.assign import assign, confidence
from tlseg.link.candidates import Pairs, frame_trees, link_candidates, reach_um
from tlseg.link.chains import Chains
from tlseg.link.divisions import Families, keep_grown_mothers
from tlseg.link.gaps_and_divisions import explain_ends
from tlseg.link.lineage import DIVISION, GAP, LINK, Edges, Lineage, build_lineage
from tlseg.link.objects import Floats, Ints, Objects, read_objects, read_overlaps
from tlseg.link.settings import LinkSettings
from tlseg.link.stabilise import Stabilised, stabilise


@dataclass(frozen=True, slots=True)
class Traced:
    """Nuclei of a movie and all that joins them, by row.

    Parameters
    ----------
    objects, placed, trees
        Nuclei, their stabilised positions, and a tree of these per frame.
    chains
        Links from frame to frame.
    gaps, families
        How ends and starts were explained.
    edges
        All of these as joins.
    """

    objects: Objects
    placed: Stabilised
    trees: list[cKDTree | None]
    chains: Chains
    gaps: Pairs
    families: Families
    edges: Edges

    def near(self, place: Floats, *, frame: int, reach: float) -> Ints:
        """Rows of a frame, counted from the first, within `reach` of a stabilised position; ascending, shape (k,)."""
        tree = self.trees[frame]
        found = [] if tree is None else tree.query_ball_point(place, reach, return_sorted=True)
        return int(self.objects.starts[frame]) + np.asarray(found, dtype=np.int64)


def link_objects(objects: pd.DataFrame, overlaps: pd.DataFrame, *, settings: LinkSettings | None = None) -> Lineage:
    """Join nuclei through time.

    Parameters
    ----------
    objects
        One row per nucleus per frame: `t, label, z_um, y_um, x_um, volume_um3, intensity_mean`, and `volume_voxels`
        where there are overlaps. Labels are numbers within their frame. Other columns are ignored.
    overlaps
        One row per pair of nuclei in consecutive frames that share voxels, or several to be summed:
        `t, label_a` (in frame t), `label_b` (in frame t + 1), `voxels`. May be empty.
    settings
        How to link; the defaults suit nuclei of one tissue.

    Returns
    -------
    Lineage
        Every object in one track, every track with one object per frame at most.

    Raises
    ------
    LabelError
        If a table lacks a column or holds invalid values (see `read_objects`), or the two do not fit together.
    """
    traced = trace(objects, overlaps, settings=settings)
    return build_lineage(traced.objects.t, traced.objects.label, traced.edges)


def trace(objects: pd.DataFrame, overlaps: pd.DataFrame, *, settings: LinkSettings | None = None) -> Traced:
    """Join nuclei as `link_objects` does; the result is by row and not yet numbered."""
    # A table does not say how much time lies between frames: settings that are times must have been turned into frames.
    chosen = (settings or LinkSettings()).with_interval(None)
    movie, order = read_objects(objects)
    shared = read_overlaps(overlaps, table=objects, objects=movie, order=order)
    chosen = chosen.within(movie.frames)
    placed = stabilise(movie, shared, settings=chosen)
    trees = frame_trees(movie, placed)
    reach = reach_um(movie, placed, trees, settings=chosen)
    pairs = link_candidates(movie, placed, trees, shared, reach=reach, settings=chosen)
    linked = assign(pairs.a, pairs.b, pairs.cost)
    sure = confidence(pairs.a, pairs.b, pairs.cost, linked)
    a, b = pairs.a[linked], pairs.b[linked]
    chains = Chains.of(len(movie), a, b)
    found = explain_ends(movie, placed, trees, chains, reach=reach, settings=chosen)
    gaps = found.gaps
    grown = keep_grown_mothers(movie, chains.joined(gaps.a, gaps.b), found.families, frames=chosen.min_cycle_frames)
    families, family_sure = found.families.take(grown), found.family_sure[grown]
    kept = ~np.isin(b, families.child)  # a mother's link to the daughter that she continued as is part of the division
    edges = Edges.of(
        (LINK, a[kept], b[kept], sure[kept]),
        (GAP, gaps.a, gaps.b, found.gap_sure),
        (DIVISION, families.mother, families.child, family_sure),
        (DIVISION, families.mother, families.sister, family_sure),
    )
    return Traced(movie, placed, trees, chains, gaps, families, edges)
