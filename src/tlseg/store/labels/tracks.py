"""Tracks as a GEFF graph beside the pixels: a node is a nucleus in one frame, an edge says what it becomes.

Nodes point at the labels by pixel value, so any reader of GEFF can join graph and pixels.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.geometry import Spacing
from tlseg.store.fs.place import Place, place_of
from tlseg.store.labels.graph import both_names, read_graph, read_metadata
from tlseg.store.locks.group_lock import turn
from tlseg.store.locks.swap import swap
from tlseg.wording import how_many

FOLDER = "tracks.geff"
_METADATA = (".zattrs", ".zgroup", ".zmetadata")
EDGE_KEYS = ("t_a", "label_a", "t_b", "label_b")
_POSITION = {"z": "z_um", "y": "y_um", "x": "x_um"}
_WHOLE = ("label", "track", "lineage", "parent", "generation")
_NUMBERS = {"volume_um3": "cubic micrometer"}
_UNITS = {"t": "frame", **dict.fromkeys(_POSITION, "micrometer"), **_NUMBERS}


def write_tracks(
    root: str | Path | Place,
    nodes: pd.DataFrame,
    edges: pd.DataFrame,
    *,
    spacing_um: Spacing,
    interval_s: float | None,
    name: str = "nuclei",
    axes: Literal["tzyx", "tyx"] = "tzyx",
    overwrite: bool = False,
) -> Place:
    """Write `tracks.geff` into an OME-Zarr group.

    Existing tracks of other labels (such as the truth of a simulated movie) move to `tracks-NAME.geff`.

    The graph is written beside its final place, checked with GEFF's own validator and then moved there, so a reader
    sees the old tracks, none for a moment, or the new ones. Other processes may write tracks of other labels at the same
    time: existing tracks are checked when this graph is ready. Zarr v2 inside, the default of GEFF, which all its readers
    open.

    Parameters
    ----------
    root
        OME-Zarr group, a path or a URL.
    nodes
        One row per nucleus per frame: `t, label, track, lineage`, the centroid as `z_um, y_um, x_um` in micrometres or
        `z, y, x` in voxels, and if known `parent, generation, volume_um3`. `label` is the pixel value in that frame.
    edges
        `t_a, label_a, t_b, label_b, kind, confidence`, each end a node.
    spacing_um
        Voxel spacing (z, y, x).
    interval_s
        Seconds between frames, None if unknown.
    name
        Label movie the nodes are in.
    axes
        Axes of that label movie.
    overwrite
        Replace existing tracks.

    Returns
    -------
    Place
        The graph's folder.

    Raises
    ------
    LabelError
        If tracks exist already, a column is missing, or an edge has an end that is not a node.
    """
    place = place_of(root)
    folder = place / FOLDER
    _check_replaceable(place, name, overwrite=overwrite)
    rows = _sorted_nodes(nodes)
    identity, joined = np.arange(1, len(rows) + 1, dtype=np.uint64), _edge_ids(rows, edges)
    props = _node_props(rows, spacing_um, axes)
    metadata = _metadata(spacing_um, interval_s, name=name, axes=axes, tracks=_track_props(edges))
    metadata.node_props_metadata = _units_of(props)
    part = _part_of(place, name)
    try:
        _write(part, (identity, props), (joined, _edge_props(edges)), metadata)
        with turn(place):
            _check_replaceable(place, name, overwrite=overwrite)
            others = _others(folder, name)
            aside = None if others is None else place / f"tracks-{others}.geff"
            if place.remote:
                _send(part, folder, aside=aside)
            else:
                _move(part, folder.path, aside=None if aside is None else aside.path)
            (place / f"tracks-{name}.geff").remove()
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _part_of(place: Place, name: str) -> Path:
    """Where a graph is written first; beside its place under one name, so that what a killed start left goes."""
    if place.remote:
        return Path(tempfile.gettempdir()) / f".{FOLDER}.{uuid.uuid4().hex}.partial"
    part = place.path / f".{FOLDER}.{name}.partial"
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    return part


def _check_replaceable(place: Place, name: str, *, overwrite: bool) -> None:
    if not overwrite and (graph := graph_of(place, name)) is not None:
        raise LabelError(f"{graph} exists. Use --overwrite to replace it.")


def _others(folder: Place, name: str) -> str | None:
    """Name of the labels whose graph is there, None if it belongs to `name` or to none."""
    owners = _labels_of(folder)
    return owners[0] if owners and name not in owners else None


def _move(part: Path, folder: Path, *, aside: Path | None) -> None:
    """Put a finished graph in its place; an existing one moves aside, or is dropped."""
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    swap(part, folder)


def _send(part: Path, folder: Place, *, aside: Place | None) -> None:
    """As `_move` where nothing can be renamed: what makes a folder a graph goes first, and comes last."""
    if aside is not None:
        aside.remove()
        with tempfile.TemporaryDirectory() as copy:
            folder.get(Path(copy) / FOLDER)
            aside.put(Path(copy) / FOLDER, last=_METADATA)
    for name in _METADATA:
        (folder / name).remove()
    folder.remove()
    folder.put(part, last=_METADATA)


def _labels_of(folder: Place) -> list[str]:
    """Names of the labels a graph says it belongs to; empty if it does not say."""
    if not folder.exists():
        return []
    try:
        related = read_metadata(folder).related_objects or []
    except LabelError:  # a damaged graph belongs to nobody
        return []
    return [_name_in(r.path) for r in related if r.type == "labels" and r.path]


def _name_in(path: str) -> str:
    """Name of the labels in `../labels/NAME/0`, or in `../labels/NAME` as graphs had it before."""
    parts = PurePosixPath(path).parts
    after = parts[parts.index("labels") + 1 :] if "labels" in parts else ()
    return after[0] if after else parts[-1]


def graph_of(root: Place, name: str) -> Place | None:
    """Where the tracks of some labels are, None if there are none.

    `tracks.geff` holds those written last, `tracks-NAME.geff` those of labels written before. A graph that names no labels
    may belong to any.
    """
    aside, last = root / f"tracks-{name}.geff", root / FOLDER
    if aside.is_dir():
        return aside
    owners = _labels_of(last)
    return last if last.exists() and (not owners or name in owners) else None


def read_tracks(root: str | Path | Place) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the tracks of an OME-Zarr group.

    Parameters
    ----------
    root
        OME-Zarr group that holds `tracks.geff`, or a GEFF graph itself; a local path or an fsspec URL.

    Returns
    -------
    nodes : pandas.DataFrame
        `t, label, track, lineage`, the centroid `z_um, y_um, x_um` and what else was written, sorted by (t, label).
    edges : pandas.DataFrame
        `t_a, label_a, t_b, label_b, kind, confidence`, sorted.

    Raises
    ------
    LabelError
        If the tracks do not exist, or were not written in this layout.
    """
    place = place_of(root)
    place = place if place.url.endswith(".geff") else place / FOLDER
    if not place.exists():
        raise LabelError(f"{place} does not exist. Expected tracks of a finished run; make them with tlseg link.")
    metadata = read_metadata(place)
    for kind, expected in (("node", ("t", *_WHOLE[:3])), ("edge", ("kind", "confidence"))):
        missing = [key for key in expected if key not in getattr(metadata, f"{kind}_props_metadata")]
        if missing:
            raise LabelError(f"The {kind}s of {place} lack {', '.join(missing)}. Expected tracks written by tlseg.")
    graph = read_graph(place, time="t")
    nodes = pd.DataFrame({_POSITION.get(key, key): values for key, values in graph.nodes.items()})
    columns: dict[str, Any] = {}
    for side, rows in zip("ab", graph.ends.T, strict=True):
        columns[f"t_{side}"] = nodes["t"].to_numpy()[rows]
        columns[f"label_{side}"] = nodes["label"].to_numpy()[rows]
    for key, values in sorted(graph.edges.items(), reverse=True):  # kind, then confidence
        columns[key] = values.astype(object) if key == "kind" else values
    first = [key for key in ("t", *_WHOLE, "z_um", "y_um", "x_um") if key in nodes.columns]
    nodes = nodes[[*first, *(key for key in nodes.columns if key not in first)]]
    return (
        nodes.sort_values(["t", "label"], ignore_index=True),
        pd.DataFrame(columns).sort_values(list(EDGE_KEYS), ignore_index=True),
    )


def _write(
    folder: Path, nodes: tuple[NDArray[np.uint64], Any], edges: tuple[NDArray[np.uint64], Any], metadata: Any
) -> None:
    from geff.core_io import write_arrays

    with both_names():
        write_arrays(
            folder,
            node_ids=nodes[0],
            node_props=nodes[1],
            edge_ids=edges[0],
            edge_props=edges[1],
            metadata=metadata,
            zarr_format=2,
        )


def _track_props(edges: pd.DataFrame) -> dict[str, str]:
    """What nodes say of their track in GEFF's sense, where a nucleus with one daughter would be one track with her."""
    mothers = edges[edges["kind"] == "division"].groupby(["t_a", "label_a"]).size()
    return {"lineage": "lineage"} if (mothers == 1).any() else {"tracklet": "track", "lineage": "lineage"}


def _metadata(spacing_um: Spacing, interval_s: float | None, *, name: str, axes: str, tracks: dict[str, str]) -> Any:
    from geff_spec import Axis, DisplayHint, GeffMetadata, RelatedObject

    interval_s = None if interval_s is None else float(interval_s)  # which may be NumPy's
    time = {} if interval_s is None else {"scale": interval_s, "scaled_unit": "second"}
    # `frame` promises that t is the index in the movie; positions are where the movie's own coordinates put them.
    all_axes = [Axis(name="t", type="time", unit="frame", **time)]
    all_axes += [Axis(name=axis, type="space", unit="micrometer") for axis in axes[1:]]
    depth = "z" if "z" in axes else None
    hints = DisplayHint(display_horizontal="x", display_vertical="y", display_depth=depth, display_time="t")
    with both_names():
        # The array, not its group: readers open what is named.
        pixels = RelatedObject(type="labels", path=f"../labels/{name}/0", node_prop="label", label_prop="label")
        return GeffMetadata(
            directed=True,
            axes=all_axes,
            node_props_metadata={},
            edge_props_metadata={},
            track_node_props=tracks,
            related_objects=[pixels],
            display_hints=hints,
            extra={"tlseg": {"spacing_um": list(spacing_um), "interval_s": interval_s, "units": dict(_NUMBERS)}},
        )


def _sorted_nodes(nodes: pd.DataFrame) -> pd.DataFrame:
    missing = [key for key in ("t", "label", "track", "lineage") if key not in nodes.columns]
    if missing:
        raise LabelError(f"The nodes lack {', '.join(missing)}; found {', '.join(map(str, nodes.columns))}.")
    rows = nodes.sort_values(["t", "label"], ignore_index=True)
    twice = rows.duplicated(["t", "label"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise LabelError(
            f"Label {int(row['label'])} appears twice in frame {int(row['t'])}. Expected one node per nucleus per frame."
        )
    return rows


def _edge_ids(nodes: pd.DataFrame, edges: pd.DataFrame) -> NDArray[np.uint64]:
    """Node numbers of both ends, shape (edges, 2)."""
    missing = [key for key in (*EDGE_KEYS, "kind", "confidence") if key not in edges.columns]
    if missing:
        raise LabelError(f"The edges lack {', '.join(missing)}; found {', '.join(map(str, edges.columns))}.")
    index = pd.MultiIndex.from_frame(nodes[["t", "label"]])
    rows = np.stack(
        [index.get_indexer(pd.MultiIndex.from_frame(edges[[f"t_{s}", f"label_{s}"]])) for s in "ab"], axis=1
    )
    if (rows < 0).any():
        loose = np.flatnonzero((rows < 0).any(axis=1))
        edge = edges.iloc[int(loose[0])]
        raise LabelError(
            f"{how_many(len(loose), 'edge has', 'edges have')} an end that is not a node; first: label "
            f"{int(edge['label_a'])} of frame {int(edge['t_a'])} to label {int(edge['label_b'])} of frame "
            f"{int(edge['t_b'])}. Edges and nodes must use the same labels."
        )
    return (rows + 1).astype(np.uint64)


def _node_props(rows: pd.DataFrame, spacing_um: Spacing, axes: str) -> dict[str, Any]:
    props = {"t": _prop(rows["t"].to_numpy(dtype=np.int64))}
    for axis, step in zip("zyx", spacing_um, strict=True):
        if axis not in axes:
            continue
        if _POSITION[axis] in rows.columns:
            values = rows[_POSITION[axis]].to_numpy(dtype=np.float64)
        elif axis in rows.columns:
            values = rows[axis].to_numpy(dtype=np.float64) * step
        else:
            raise LabelError(f"The nodes lack {_POSITION[axis]} (or {axis} in voxels): a GEFF node needs a position.")
        props[axis] = _prop(values)
    for key in _WHOLE:
        if key in rows.columns:
            props[key] = _prop(rows[key].to_numpy(dtype=np.int64))
    for key in _NUMBERS:
        if key in rows.columns:
            props[key] = _prop(rows[key].to_numpy(dtype=np.float64))
    return props


def _edge_props(edges: pd.DataFrame) -> dict[str, Any]:
    kind = edges["kind"].to_numpy().astype("U8")
    return {"kind": _prop(kind), "confidence": _prop(edges["confidence"].to_numpy(dtype=np.float64))}


def _units_of(props: dict[str, Any]) -> dict[str, Any]:
    """Metadata of the properties that have a unit; GEFF itself writes those of the others."""
    from geff_spec import PropMetadata

    return {
        key: PropMetadata(identifier=key, dtype=prop["values"].dtype, unit=_UNITS[key])
        for key, prop in props.items()
        if key in _UNITS
    }


def _prop(values: NDArray[Any]) -> dict[str, Any]:
    return {"values": values, "missing": None}
