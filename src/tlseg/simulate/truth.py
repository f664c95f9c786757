"""The truth of a movie as a table: one row per nucleus per frame, with the columns that a segmented movie has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from tlseg.geometry import Spacing
from tlseg.simulate.movie import Frame, Node
from tlseg.store.labels.tables import empty_table

Row = dict[str, int | float | bool | str]


def frame_rows(frame: Frame, *, spacing_um: Spacing) -> list[Row]:
    """Rows of one frame, by label.

    Parameters
    ----------
    frame : Frame
    spacing_um : Spacing
        Voxel size along (z, y, x), micrometres.

    Returns
    -------
    list of dict
        Position and volume are those of the voxels, as a measurement of the labels would find them;
        `exact_volume_um3` is that of the ellipsoid, also where the frame's edge cuts it.
    """
    numbers, compact = np.unique(frame.labels, return_inverse=True)
    index = compact.reshape(frame.labels.shape) + (1 if numbers[0] else 0)
    nodes = {node.track: node for node in frame.nodes}
    rows = []
    for number, box in zip(numbers[numbers > 0].tolist(), find_objects(index), strict=True):
        inside = frame.labels[box] == number
        rows.append(_row(nodes[number], box, inside, frame.image[box][inside], frame.labels.shape, spacing_um))
    return rows


def truth_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Join rows of all frames; integers as int64, lengths as float64. Without nuclei it still has its columns.

    A mother seen in no frame becomes parent 0, as in a segmented movie; `generation` and `lineage` show that there was one.
    """
    table = pd.DataFrame(list(rows))
    if not len(table):
        return empty_table()
    return table.assign(parent=table["parent"].where(table["parent"].isin(table["track"]), 0))


def truth_edges(table: pd.DataFrame) -> pd.DataFrame:
    """Join rows of a truth table through time.

    Returns
    -------
    pandas.DataFrame
        `t_a, label_a, t_b, label_b, kind, confidence`, sorted: the same nucleus in the next frame it is seen in
        (`link`, or `gap` where it left the frame in between), and mother to daughter (`division`).
    """
    nodes = table[["t", "track", "parent"]].sort_values(["track", "t"], kind="stable")
    later = nodes.groupby("track", sort=False)["t"].shift(-1)
    same = nodes[later.notna()].assign(t_b=later.dropna().astype(np.int64))
    last = nodes.groupby("track")["t"].max()
    born = nodes.drop_duplicates("track")
    born = born[born["parent"].isin(last.index)]
    kinds = np.where(same["t_b"] - same["t"] == 1, "link", "gap")
    edges = pd.DataFrame(
        {
            "t_a": np.concatenate([same["t"], last.loc[born["parent"]]]).astype(np.int64),
            "label_a": np.concatenate([same["track"], born["parent"]]).astype(np.int64),
            "t_b": np.concatenate([same["t_b"], born["t"]]).astype(np.int64),
            "label_b": np.concatenate([same["track"], born["track"]]).astype(np.int64),
            "kind": np.concatenate([kinds, np.full(len(born), "division")]).astype(object),
        }
    )
    edges["confidence"] = 1.0
    return edges.sort_values(["t_a", "label_a", "t_b", "label_b"], ignore_index=True)


def _row(
    node: Node,
    box: tuple[slice, ...],
    inside: NDArray[np.bool_],
    grey: NDArray[np.uint16],
    shape: tuple[int, ...],
    spacing_um: Spacing,
) -> Row:
    low, high = [s.start for s in box], [s.stop for s in box]
    z, y, x = (float(i.mean()) + a for i, a in zip(np.nonzero(inside), low, strict=True))
    # A frame of one plane has no edge along z: every nucleus would touch it.
    touches = any(n > 1 and (a == 0 or b == n) for a, b, n in zip(low, high, shape, strict=True))
    row: Row = {"label": node.track, "t": node.t, "z": z, "y": y, "x": x}
    row |= {f"{axis}_um": v * s for axis, v, s in zip("zyx", (z, y, x), spacing_um, strict=True)}
    row |= {"volume_voxels": node.volume_voxels, "volume_um3": node.volume_voxels * float(np.prod(spacing_um))}
    row |= {"exact_volume_um3": node.volume_um3}
    row |= {"intensity_mean": float(grey.mean()), "intensity_sum": float(grey.sum(dtype=np.int64))}
    row |= {
        f"bbox_{axis}{i}": int(v) for axis, a, b in zip("zyx", low, high, strict=True) for i, v in enumerate((a, b))
    }
    row |= {"touches_edge": touches, "seed": "truth", "track": node.track, "lineage": node.root}
    row |= {"parent": node.parent, "generation": node.generation}
    return row
