"""Which object of one frame is which object of the next: a track graph as plain arrays.

Nodes are objects of single frames, numbered by (frame, label); edges point forward in time. A gap is one edge over
several frames. A node with two or more edges out of it divides. A *track* is a set of nodes joined by edges that are not
between tracks. Edges between tracks are the parents named in a track file, including that of a single daughter; without a
file, they are the edges that leave a division or enter a merge, and those that a graph calls divisions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlseg.errors import EvaluationError
from tlseg.evaluate.overlap import Ids, Ints

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrackGraph:
    """Objects of all frames and the links between them.

    Attributes
    ----------
    frame : (n,) int64
    label : (n,) uint64
        Nodes, ascending by (frame, label).
    edges : (m, 2) int64
        Rows of source and target node, ascending, no edge twice.
    between : (m,) bool
        Whether each edge is between tracks.
    """

    frame: Ints
    label: Ids
    edges: Ints
    between: Flags

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def out_degree(self) -> Ints:
        """Edges out of each node, shape (n,)."""
        return np.bincount(self.edges[:, 0], minlength=len(self)).astype(np.int64)

    @property
    def branching(self) -> Flags:
        """Whether each edge leaves a division or enters a merge, shape (m,)."""
        return _branching(self.edges)

    @property
    def track(self) -> Ints:
        """Track number of each node, shape (n,), counting from 0."""
        inside = self.edges[~self.between]
        graph = coo_array((np.ones(len(inside), dtype=np.int8), (inside[:, 0], inside[:, 1])), shape=(len(self),) * 2)
        if not len(self):
            return np.empty(0, dtype=np.int64)
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def track_spans(frame: Ints, track: Ints) -> tuple[Ints, Ints]:
    """First and last frame of each track, shape (tracks,), from the frame and the track of each node, shape (n,)."""
    tracks = int(track.max(initial=-1)) + 1
    start, end = np.full(tracks, np.iinfo(np.int64).max), np.full(tracks, -1, dtype=np.int64)
    np.minimum.at(start, track, frame)
    np.maximum.at(end, track, frame)
    return start, end


def graph_of_labels(frame: Ints, label: Ids) -> TrackGraph:
    """Link each label to its next appearance: for movies in which one number is one object through time."""
    return _graph(frame, label, _same_label(*_sorted(frame, label)))


def graph_of_tracks(frame: Ints, label: Ids, tracks: pd.DataFrame, *, where: str = "The track file") -> TrackGraph:
    """Link each label to its next appearance, and the last of a parent to the first of its children.

    Parameters
    ----------
    frame, label : (n,)
        Objects that were seen in the label images.
    tracks : DataFrame
        Columns `track` and `parent` (0: none); the frames are taken from the images.
    where : str
        The file they are from, for messages.

    Raises
    ------
    EvaluationError
        When a label has no track, or a parent outlives the birth of its child.
    """
    frame, label = _sorted(frame, label)
    require_tracks(frame, label, tracks, where=where)
    labels, first = np.unique(label, return_index=True)  # nodes are ascending by frame
    last = len(label) - 1 - np.unique(label[::-1], return_index=True)[1]
    child, parent = (tracks[name].to_numpy().astype(np.uint64) for name in ("track", "parent"))
    known = np.isin(child, labels) & np.isin(parent, labels) & (parent != 0)
    source = last[np.searchsorted(labels, parent[known])]
    target = first[np.searchsorted(labels, child[known])]
    forward = frame[source] < frame[target]
    if not forward.all():
        wrong = int(np.flatnonzero(~forward)[0])
        raise EvaluationError(
            f"{where} makes {parent[known][wrong]} the parent of {child[known][wrong]}, but in the images the "
            f"parent lasts until frame {frame[source][wrong]} and the child starts in frame {frame[target][wrong]}. "
            "Correct the track file."
        )
    same, links = _same_label(frame, label), np.stack([source, target], axis=1)
    edges, between = np.concatenate([same, links]), np.repeat([False, True], [len(same), len(links)])
    order = np.lexsort(edges.T[::-1])
    return TrackGraph(frame, label, edges[order], between[order])


def require_tracks(frame: Ints, label: Ids, tracks: pd.DataFrame, *, where: str) -> None:
    """Raise `EvaluationError` where a label has no track; arguments as for `graph_of_tracks`."""
    unknown = np.flatnonzero(~np.isin(label, tracks["track"].to_numpy().astype(np.uint64)))
    if len(unknown):
        raise EvaluationError(
            f"{where} has no line for {label[unknown[0]]}, which is in the image of frame {frame[unknown[0]]}. Correct the "
            "track file, or compare without tracks (--no-tracking)."
        )


def graph_of_links(frame: Ints, label: Ids, links: pd.DataFrame) -> TrackGraph:
    """Link objects as given by a graph file; links to objects or frames that were not compared are left out.

    Parameters
    ----------
    frame, label : (n,)
        Objects that were seen in the label images.
    links : DataFrame
        Columns `frame`, `label`, `next_frame`, `next_label`, and if known `division`: whether each joins a mother and her
        daughter, who may be the only one.
    """
    frame, label = _sorted(frame, label)
    nodes = pd.MultiIndex.from_arrays([frame, label])
    ends = []
    for f, name in (("frame", "label"), ("next_frame", "next_label")):
        keys = pd.MultiIndex.from_arrays([links[f].to_numpy(np.int64), links[name].to_numpy(np.uint64)])
        ends.append(nodes.get_indexer(keys))
    edges = np.stack(ends, axis=1).astype(np.int64)
    compared = (edges >= 0).all(axis=1)
    graph = _graph(frame, label, edges[compared])
    if "division" not in links.columns:
        return graph
    told = edges[compared & links["division"].to_numpy(dtype=bool)]
    by_number = np.array([len(graph), 1])
    return replace(graph, between=graph.between | np.isin(graph.edges @ by_number, told @ by_number))


def _sorted(frame: Ints, label: Ids) -> tuple[Ints, Ids]:
    order = np.lexsort((label, frame))
    return frame[order], label[order]


def _same_label(frame: Ints, label: Ids) -> Ints:
    order = np.lexsort((frame, label))
    same = label[order][1:] == label[order][:-1]
    return np.stack([order[:-1][same], order[1:][same]], axis=1).astype(np.int64)


def _graph(frame: Ints, label: Ids, edges: Ints) -> TrackGraph:
    frame, label = _sorted(frame, label)
    edges = edges.reshape(-1, 2)
    if (frame[edges[:, 0]] >= frame[edges[:, 1]]).any():
        raise EvaluationError("The track graph has a link that does not point forward in time. Correct its edges.")
    edges = np.unique(edges, axis=0)
    return TrackGraph(frame, label, edges, _branching(edges))


def _branching(edges: Ints) -> Flags:
    source, target = edges.T
    return np.asarray((np.bincount(source)[source] > 1) | (np.bincount(target)[target] > 1))
