"""Make tracks, parents and generations out of joined nuclei.

A track is one nucleus between divisions: at a division the mother's track ends and her daughters' begin. Tracks made by
linking are numbered by their first frame and the label in it, so numbers do not depend on how the links were found. Adopted
tracks keep the numbers they were given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.link.chains import Chains
from tlseg.link.objects import Floats, Ints

NODE_COLUMNS = ("t", "label", "track", "lineage", "parent", "generation")
LINK, GAP, DIVISION = "link", "gap", "division"
UNKNOWN_GENERATION = -1
"""Generation of tracks that begin after the first frame without a mother, and of all that descend from them."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Joined rows, `a` before `b`; `kind` is link, gap or division; confidence in (0, 1]."""

    a: Ints
    b: Ints
    kind: NDArray[np.str_]
    confidence: Floats

    @classmethod
    def of(cls, *parts: tuple[str, Ints, Ints, Floats]) -> Edges:
        """Edges in parts of one kind each: kind, `a`, `b` and confidence."""
        kinds, a, b, confidence = zip(*parts, strict=True)
        kind = np.repeat(kinds, [len(rows) for rows in a])
        return cls(np.concatenate(a), np.concatenate(b), kind, np.concatenate(confidence))


@dataclass(frozen=True, slots=True)
class Lineage:
    """Nuclei of a movie joined through time.

    Parameters
    ----------
    nodes
        One row per nucleus per frame, sorted by (t, label): `t, label, track, lineage, parent, generation`. `track`
        counts from 1, or is any positive number if tracks were adopted; `parent` is the mother's track, 0 if none; `lineage`
        is the founding track; `generation` is the number of divisions since the first frame with nuclei,
        `UNKNOWN_GENERATION` if the founder begins later.
    edges
        One row per join, sorted: `t_a, label_a, t_b, label_b, kind, confidence`. `kind` is `link` (the next frame),
        `gap` (frames are missing in between) or `division` (mother to daughter, one row per daughter: two if tracks were
        linked, any number if they were adopted); confidence is in (0, 1], see `assign.confidence`.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame

    @property
    def tracks(self) -> int:
        """How many tracks there are."""
        return int(self.nodes["track"].nunique())

    @property
    def divisions(self) -> int:
        """How many nuclei have daughters."""
        mothers = self.edges.loc[self.edges["kind"] == DIVISION, ["t_a", "label_a"]]
        return len(mothers.drop_duplicates())

    @property
    def gaps(self) -> int:
        """How many times a nucleus is missing between two frames that it is in."""
        return int((self.edges["kind"] == GAP).sum())


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
    chains = Chains.of(n, edges.a[~division], edges.b[~division])
    by_label = np.lexsort((label, t))
    heads = by_label[chains.preceding[by_label] < 0]
    number = np.zeros(n, dtype=np.int64)
    number[heads] = np.arange(1, len(heads) + 1)
    track = number[chains.heads()]
    parent_of = np.zeros(len(heads) + 1, dtype=np.int64)
    parent_of[track[edges.b[division]]] = track[edges.a[division]]
    return assemble(t, label, edges, track=track, parent_of=parent_of, number=np.arange(len(heads) + 1))


def assemble(t: Ints, label: Ints, edges: Edges, *, track: Ints, parent_of: Ints, number: Ints) -> Lineage:
    """Make the tables of a lineage whose tracks and mothers are known.

    Parameters
    ----------
    t, label
        Frame and label of each row, shape (n,).
    edges
        Joins between rows.
    track
        Index of the track of each row, shape (n,), from 1 without gaps.
    parent_of
        Index of each track's mother, 0 if it has none; entry 0 is unused. No track is its own ancestor.
    number
        Final number of each track, as long as `parent_of`; entry 0 is 0.
    """
    n = len(t)
    begin = np.full(len(parent_of), np.iinfo(np.int64).max)
    np.minimum.at(begin, track, t)
    founder_of, generation_of = _families(parent_of, begin=begin)
    by_label = np.lexsort((label, t))
    own = track[by_label]
    nodes = pd.DataFrame(
        {
            "t": t[by_label],
            "label": label[by_label],
            "track": number[own],
            "lineage": number[founder_of[own]],
            "parent": number[parent_of[own]],
            "generation": generation_of[own],
        }
    )
    place = np.empty(n, dtype=np.int64)
    place[by_label] = np.arange(n)
    order = np.argsort(place[edges.a] * n + place[edges.b])
    a, b = edges.a[order], edges.b[order]
    joins = pd.DataFrame(
        {
            "t_a": t[a],
            "label_a": label[a],
            "t_b": t[b],
            "label_b": label[b],
            "kind": edges.kind[order].astype(object),
            "confidence": edges.confidence[order],
        }
    )
    return Lineage(nodes, joins)


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


def _families(parent_of: Ints, *, begin: Ints) -> tuple[Ints, Ints]:
    """Founder and generation of every track from mothers and first frames, index 0 unused; steps up one at a time."""
    founder = np.arange(len(parent_of), dtype=np.int64)
    generation = np.zeros(len(parent_of), dtype=np.int64)
    climbing = parent_of[founder] > 0
    while climbing.any():
        founder = np.where(climbing, parent_of[founder], founder)
        generation += climbing
        climbing = parent_of[founder] > 0
    # A nucleus that appears later may have divided any number of times.
    known = begin[founder] == begin[1:].min(initial=np.iinfo(np.int64).max)
    return founder, np.where(known, generation, UNKNOWN_GENERATION)
