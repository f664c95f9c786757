"""Table and graph of final labels: the rows are written frame by frame, and what the graph needs of them is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

from tlseg.geometry import Spacing
from tlseg.measure.history import motherless
from tlseg.store.fs.place import Place
from tlseg.store.labels.table_writer import create_table
from tlseg.store.labels.tracks import write_tracks

PLACE = ("z_um", "y_um", "x_um", "volume_um3")
KEPT = ("t", "label", *PLACE, "seed", "track", "parent", "touches_edge")
"""Columns kept of every nucleus: its place in the graph, and what is counted."""


def write_rows(root: Place, name: str, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Write a table, one frame after the other; returns of every row the columns `KEPT`."""
    kept = []
    with create_table(root, name, overwrite=True) as writer:
        for rows in frames:
            writer.write(rows)
            kept.append(rows[list(KEPT)])
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(KEPT))


def write_graph(
    root: Place,
    name: str,
    nodes: pd.DataFrame,
    edges: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    spacing_um: Spacing,
    interval_s: float | None,
    axes: Literal["tyx", "tzyx"] = "tzyx",
) -> None:
    """Write the lineage graph with the place of every nucleus, taken from `rows` (see `write_rows`)."""
    if len(rows):
        nodes = nodes.merge(rows[["t", "label", *PLACE]], on=["t", "label"], validate="one_to_one")
    else:
        nodes = nodes.assign(**{column: np.zeros(0) for column in PLACE})
    write_tracks(root, nodes, edges, spacing_um=spacing_um, interval_s=interval_s, name=name, axes=axes, overwrite=True)


def count_motherless(rows: pd.DataFrame, *, first: int) -> dict[str, int]:
    """Count tracks that begin without a mother, and those of them that the frame's edge cuts; see `history.motherless`."""
    begun = motherless(rows, first=first) if len(rows) else rows
    return {"motherless": len(begun), "motherless_at_edge": int(begun["touches_edge"].sum())}
