"""Read a GEFF graph of any origin, or say in one line what is wrong with it.

The graph returned is consistent: properties match their nodes or edges in length, and every edge joins two nodes and points
forward in time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError, one_line
from tlseg.store.fs.groups import open_store
from tlseg.store.fs.paths import is_url
from tlseg.store.fs.place import Place
from tlseg.wording import how_many

AGAIN = "Copy the graph again, or make it again."


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges.

    Attributes
    ----------
    nodes, edges : mapping of str to arrays
        Properties, (n,) and (m,); the time of nodes as int64 frame numbers.
    missing : mapping of str to (n,) bool
        Nodes without a value, for optional properties; the values in their place mean nothing.
    ends : (m, 2) int64
        Rows of the nodes that each edge joins, the earlier one first.
    """

    nodes: Mapping[str, NDArray[Any]]
    edges: Mapping[str, NDArray[Any]]
    missing: Mapping[str, NDArray[np.bool_]]
    ends: NDArray[np.int64]


def read_metadata(place: Place) -> Any:
    """Read the metadata of a graph, as `geff.GeffMetadata`.

    Raises
    ------
    LabelError
        When it cannot be read.
    """
    from geff import GeffMetadata

    try:
        with both_names():
            return GeffMetadata.read(geff_store(place.url))
    except Exception as error:  # every backend and validator has errors of its own
        raise LabelError(f"{place} cannot be read as a GEFF graph ({one_line(error)}). {AGAIN}") from error


def read_graph(
    place: Place, *, time: str, nodes: Iterable[str] | None = None, edges: Iterable[str] | None = None
) -> Graph:
    """Read a graph whose nodes have a frame number.

    Parameters
    ----------
    place
        The graph.
    time
        Property of nodes that is their frame.
    nodes, edges
        Properties to read; all by default.

    Raises
    ------
    LabelError
        When the graph cannot be read, or contradicts itself.
    """
    from geff import GeffReader

    try:
        with both_names():
            reader = GeffReader(geff_store(place.url), validate=False)
        reader.read_node_props(reader.metadata.node_props_metadata if nodes is None else nodes)
        reader.read_edge_props(reader.metadata.edge_props_metadata if edges is None else edges)
        # A number that is none becomes any frame here, and is found below.
        with np.errstate(invalid="ignore"):
            found = reader.build()
    except Exception as error:  # every backend and validator has errors of its own
        raise LabelError(f"{place} cannot be read as a GEFF graph ({one_line(error)}). {AGAIN}") from error
    ids, pairs = np.asarray(found["node_ids"]), np.asarray(found["edge_ids"])
    props = {name: _arrays(found[name], "values") for name in ("node_props", "edge_props")}
    missing = _arrays(found["node_props"], "missing")
    _check_lengths(place, ids, pairs, {**props, "missing": missing})
    ends = _ends(place, ids, pairs)
    frames = _frames(place, props["node_props"][time], time, missing=missing.get(time))
    if not reader.metadata.directed:
        back = frames[ends[:, 0]] > frames[ends[:, 1]]
        ends[back] = ends[back, ::-1]
    _check_forward(place, ids, frames, ends)
    return Graph({**props["node_props"], time: frames}, props["edge_props"], missing, ends)


@contextmanager
def both_names() -> Iterator[None]:
    """Make metadata name the property that holds labels as GEFF does since 1.2.1, and as it did before.

    Readers such as traccuracy 0.4 know only the old name, `label_prop`; the library warns about it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`label_prop` was deprecated", DeprecationWarning)
        yield


def geff_store(url: str) -> Any:
    """What the GEFF library opens for a graph: a path, or a remote store, which it wants to be writable."""
    if not is_url(url):
        return Path(url)  # a text with "::" in it would be taken for a chain of URLs
    from tlseg.store.fs.remote import GuardedStore

    return GuardedStore(open_store(url))


def _arrays(props: Mapping[str, Any], part: str) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(prop[part]) for name, prop in props.items() if prop[part] is not None}


def _check_lengths(
    place: Place, ids: NDArray[Any], pairs: NDArray[Any], props: Mapping[str, Mapping[str, NDArray[Any]]]
) -> None:
    if ids.ndim != 1 or pairs.ndim != 2 or pairs.shape[1] != 2:
        raise LabelError(
            f"{place} has node numbers of shape {ids.shape} and edges of shape {pairs.shape}; expected (n,) and (m, 2). "
            f"{AGAIN}"
        )
    for part, kind, whole in (
        ("node_props", "node", len(ids)),
        ("missing", "node", len(ids)),
        ("edge_props", "edge", len(pairs)),
    ):
        for name, values in props[part].items():
            if len(values) != whole:
                raise LabelError(
                    f"{place} has {how_many(whole, kind)}, but their {name} has {how_many(len(values), 'value')}. {AGAIN}"
                )


def _ends(place: Place, ids: NDArray[Any], pairs: NDArray[Any]) -> NDArray[np.int64]:
    index = pd.Index(ids)
    if not index.is_unique:
        raise LabelError(f"{place} has several nodes numbered {index[index.duplicated()][0]}. {AGAIN}")
    ends: NDArray[np.int64] = index.get_indexer(pd.Index(pairs.ravel())).astype(np.int64).reshape(-1, 2)
    if (ends < 0).any():
        edge = pairs[(ends < 0).any(axis=1)][0]
        raise LabelError(
            f"{place} has an edge from node {edge[0]} to node {edge[1]}, but one of them does not exist. {AGAIN}"
        )
    return ends


def _frames(place: Place, times: NDArray[Any], name: str, *, missing: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    if times.dtype.kind not in "iuf" or (missing is not None and missing.any()):
        raise LabelError(f"{place} has nodes without a frame number along {name}. Store the frame of each node.")
    with np.errstate(invalid="ignore"):
        frames: NDArray[np.int64] = times.astype(np.int64)
    wrong = frames != times
    if wrong.any():
        raise LabelError(
            f"{place} has times that are not frame numbers along {name}: {times[wrong][0]}. Store the frame of each node."
        )
    return frames


def _check_forward(place: Place, ids: NDArray[Any], frames: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    back = frames[ends[:, 0]] >= frames[ends[:, 1]]
    if back.any():
        (a, b) = ends[back][0]
        raise LabelError(
            f"{place} has an edge from node {ids[a]} in frame {frames[a]} to node {ids[b]} in frame {frames[b]}; expected "
            f"edges that point forward in time. {AGAIN}"
        )
