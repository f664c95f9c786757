"""Tracks as a GEFF that stands alone: nothing in it refers to files that are no longer beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tlseg.errors import LabelError, one_line
from tlseg.store.export.target import attributes_of
from tlseg.store.fs.place import Place
from tlseg.store.labels.graph import both_names

MARK = "tlseg-export"
"""Entry in the `extra` of a graph that tells an export, which may be replaced, from someone's graph."""


def copy_geff(source: str, target: Path, *, progress: Callable[[int, int], None]) -> int:
    """Copy a graph, local or remote, and take out its links to label images; returns the number of its nodes.

    Nodes keep `label`, so that they can still be joined to the pixels by whoever has them. `progress` is called with
    (done, total) steps.

    Raises
    ------
    LabelError
        If the graph is damaged.
    """
    progress(0, 2)
    Place(source).get(target)
    progress(1, 2)
    nodes = detach(target, source)
    progress(2, 2)
    return nodes


def is_detached(folder: Path) -> bool:
    """Whether a folder is a graph that `detach` has changed."""
    geff = attributes_of(folder).get("geff")
    extra = geff.get("extra") if isinstance(geff, Mapping) else None
    return isinstance(extra, Mapping) and extra.get(MARK) is True


def detach(graph: Path, source: str | None = None) -> int:
    """Check a graph, take its links to label images out and mark it; returns the number of its nodes.

    `source` is what it is a copy of, which an error names.
    """
    from geff import GeffMetadata
    from geff.core_io import read_to_memory

    try:
        with both_names():
            meta = GeffMetadata.read(graph)
            nodes = len(read_to_memory(graph)["node_ids"])
    except Exception as error:  # every backend and validator has errors of its own
        raise LabelError(
            f"{source or graph} cannot be read as a GEFF graph ({one_line(error)}). Make it again."
        ) from error
    meta.model_copy(update={"related_objects": None, "extra": {**(meta.extra or {}), MARK: True}}).write(graph)
    return nodes
