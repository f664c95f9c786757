"""Make tracks, parents and generations out of joined nuclei.

A track is one nucleus between divisions: at a division the mother's track ends and two begin. Tracks are numbered by
their first frame and the label in it, so numbers do not depend on how the links were found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlseg.link.objects import Floats, Ints

NODE_COLUMNS = ("t", "label", "track", "lineage", "parent", "generation")
LINK, GAP, DIVISION = "link", "gap", "division"


@dataclass(frozen=True, slots=True)
class Edges:
    """Joined rows, `a` before `b`; `kind` is link, gap or division; confidence in (0, 1]."""

    a: Ints
    b: Ints
    kind: NDArray[np.str_]
    confidence: Floats


@dataclass(frozen=True, slots=True)
class Lineage:
    """Nuclei of a movie joined through time.

    Parameters
    ----------
    nodes
        One row per nucleus per frame, sorted by (t, label): `t, label, track, lineage, parent, generation`. `track`
        counts from 1; `parent` is the mother's track, 0 where none; `lineage` is the founding track; `generation` is
        the number of divisions since.
    edges
        One row per join, sorted: `t_a, label_a, t_b, label_b, kind, confidence`. `kind` is `link` (the next frame),
        `gap` (frames are missing in between) or `division` (mother to daughter, two rows each); confidence is in
        (0, 1], see `assign.confidence`.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame

    @property
    def tracks(self) -> int:
        """Number of tracks."""
        return int(self.nodes["track"].max()) if len(self.nodes) else 0


def build_lineage(t: Ints, label: Ints, edges: Edges) -> Lineage:
    """Give tracks and families their numbers.

    Parameters
    ----------
    t, label
        Frame and label of each row, shape (n,).
    edges
        Joins between rows; each row has one edge in at most, and one out or two that are divisions.

    Returns
    -------
    Lineage
        Tables of nodes and edges.
    """
    n = len(t)
    division = edges.kind == DIVISION
    same = ~division
    joined = coo_array((np.ones(int(same.sum())), (edges.a[same], edges.b[same])), shape=(n, n))
    track = _number(t, label, connected_components(joined, directed=False)[1] if n else np.empty(0, np.int64))
    parent_of = np.zeros(int(track.max(initial=0)) + 1, dtype=np.int64)
    parent_of[track[edges.b[division]]] = track[edges.a[division]]
    lineage_of, generation_of = _families(parent_of)
    nodes = pd.DataFrame(
        {
            "t": t,
            "label": label,
            "track": track,
            "lineage": lineage_of[track],
            "parent": parent_of[track],
            "generation": generation_of[track],
        }
    )
    joins = pd.DataFrame(
        {
            "t_a": t[edges.a],
            "label_a": label[edges.a],
            "t_b": t[edges.b],
            "label_b": label[edges.b],
            "kind": edges.kind.astype(object),
            "confidence": edges.confidence,
        }
    )
    return Lineage(
        nodes.sort_values(["t", "label"], ignore_index=True),
        joins.sort_values(["t_a", "label_a", "t_b", "label_b"], ignore_index=True),
    )


def with_tracks(objects: pd.DataFrame, lineage: Lineage) -> pd.DataFrame:
    """Object table with `track, lineage, parent, generation` added or replaced; rows keep their order and columns.

    Parameters
    ----------
    objects
        The table that was linked, with `t` and `label`.
    lineage
        Its lineage.
    """
    added = list(NODE_COLUMNS[2:])
    kept = objects.drop(columns=[name for name in added if name in objects.columns])
    return kept.merge(lineage.nodes, on=["t", "label"], how="left", validate="one_to_one").set_axis(
        objects.index, axis="index"
    )


def relabelled(lineage: Lineage) -> Lineage:
    """Return the same lineage with each label replaced by its track, as in the final label movie."""
    track = lineage.nodes.set_index(["t", "label"])["track"]

    def tracks(t: str, label: str) -> NDArray[np.int64]:
        keys = pd.MultiIndex.from_arrays([lineage.edges[t], lineage.edges[label]])
        return track.reindex(keys).to_numpy(dtype=np.int64)

    nodes = lineage.nodes.assign(label=lineage.nodes["track"])
    edges = lineage.edges.assign(label_a=tracks("t_a", "label_a"), label_b=tracks("t_b", "label_b"))
    return Lineage(
        nodes.sort_values(["t", "label"], ignore_index=True),
        edges.sort_values(["t_a", "label_a", "t_b", "label_b"], ignore_index=True),
    )


def _number(t: Ints, label: Ints, component: NDArray[np.integer]) -> Ints:
    """Give components numbers from 1 by the (t, label) of their first nucleus."""
    order = np.lexsort((label, t))
    _, first, inverse = np.unique(component[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(1, len(first) + 1)
    track = np.empty(len(t), dtype=np.int64)
    track[order] = rank[inverse]
    return track


def _families(parent_of: Ints) -> tuple[Ints, Ints]:
    """Founder and generation of every track, index 0 unused; steps up one generation at a time."""
    founder = np.arange(len(parent_of), dtype=np.int64)
    generation = np.zeros(len(parent_of), dtype=np.int64)
    climbing = parent_of[founder] > 0
    while climbing.any():
        founder = np.where(climbing, parent_of[founder], founder)
        generation += climbing
        climbing = parent_of[founder] > 0
    return founder, generation
