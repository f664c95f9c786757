"""Find the labels inside a zarr hierarchy, with their axes, spacing and track graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from tlseg.errors import LabelError, MovieError, one_line
from tlseg.store.fs.documents import read_json
from tlseg.store.fs.groups import child_of, open_group, open_store
from tlseg.store.fs.paths import is_url, resolve
from tlseg.store.fs.place import Place
from tlseg.store.image.metadata import ImageMetadata, ome_of, parse_image
from tlseg.store.labels.frames import first_frame, frames_since_0
from tlseg.store.labels.graph import AGAIN, read_graph, read_metadata
from tlseg.store.labels.label_group import listed_labels
from tlseg.store.labels.label_movie import LabelMovie, movie_of_array, movie_of_axes
from tlseg.store.labels.tracks import graph_of
from tlseg.store.labels.values import as_labels

_LABEL_PROPERTIES = ("label", "seg_id", "segmentation_id", "track", "track_id")


def open_zarr_labels(path: str, *, name: str | None, prefer: Sequence[str], axes: str | None = None) -> LabelMovie:
    """Open the labels of an OME-Zarr image, an OME-Zarr label image, or a zarr array.

    Parameters
    ----------
    path : str
        Folder or URL.
    name : str or None
        Label image below `labels/`.
    prefer : sequence of str
        If `name` is None: the first of these that exists, or else the only label image.
    axes : str or None
        Axes of a zarr array.
    """
    path = resolve(path)
    node = _open(path)
    if isinstance(node, zarr.Array):
        _refuse_name(name, f"{path} is one array")
        return _movie_of_array(node, path, axes)
    if axes is not None:
        raise LabelError(f"Axes {axes} were given, but {path} is a Zarr group, which names its own. Omit them.")
    attributes = ome_of(dict(node.attrs))
    names = _label_names(node)
    if names:
        chosen = _choose(names, name, prefer, path)
        source = f"{path}/labels/{chosen}"
        return _movie_of_multiscale(_group(node, f"labels/{chosen}"), source, _geff(path, chosen), root=node)
    if _has_begun(node, path):
        raise LabelError(
            f"{path} has only unfinished labels. Let the run finish; tlseg status {path} shows its progress."
        )
    if "multiscales" not in attributes:
        raise LabelError(
            f"{path} is a Zarr group without labels: no `labels/` and no `multiscales`. Give the group that holds them."
        )
    root, _, own_name = path.rpartition("/labels/")
    below = bool(root) and _is_group(Place(root) / "labels")
    if "image-label" not in attributes and not below:
        level = parse_image(dict(node.attrs), where=path).paths[0]
        raise LabelError(
            f"{path} is an image without labels: no `labels/`, and no `image-label` in its metadata. Segment it first, or "
            f"give a group that holds labels. If its pixel values are labels, give the array: {path}/{level}."
        )
    if name != own_name or not below:
        _refuse_name(name, f"{path} is one label image")
    if not below:
        return _movie_of_multiscale(node, path, None, root=None)
    return _movie_of_multiscale(node, path, _geff(root, own_name), root=open_group(root))


def _refuse_name(name: str | None, but: str) -> None:
    if name is not None:
        raise LabelError(f"Labels called {name!r} were asked for, but {but}. Omit the name.")


def is_bare_array(path: str) -> bool:
    """Whether there is a zarr array, and not a group, at this path or URL, and it does not name its axes."""
    node = _open(resolve(path))
    return isinstance(node, zarr.Array) and not _named_axes(node)


def is_label_image(path: str) -> bool:
    """Whether the pixels of an OME-Zarr image are labels, by its metadata or because it lies in `labels/` of another."""
    root = path.rpartition("/labels/")[0]
    return "image-label" in ome_of(dict(open_group(path).attrs)) or (bool(root) and _is_group(Place(root) / "labels"))


def read_geff_links(path: str) -> pd.DataFrame:
    """Read the edges of a GEFF between objects named by (frame, label).

    Parameters
    ----------
    path : str
        Folder or URL of the graph.

    Returns
    -------
    DataFrame
        Columns frame, label, next_frame, next_label, and division, whether they are mother and daughter, of a graph
        that says so. One row per edge between nodes that have a label.

    Raises
    ------
    LabelError
        When the graph is damaged, or its nodes have no time in whole frames or no label.
    """
    place = Place(path)
    meta = read_metadata(place)
    time = next((axis.name for axis in meta.axes or [] if axis.type == "time"), None)
    related = [r.model_dump() for r in meta.related_objects or [] if r.type == "labels"]
    named = [r.get("node_prop") or r.get("label_prop") for r in related]  # geff-spec renamed it in 1.2.1
    known = set(meta.node_props_metadata)
    label = next((p for p in (*named, *_LABEL_PROPERTIES) if p in known), None)
    if time is None or label is None:
        raise LabelError(
            f"{path} does not say which label its nodes have in which frame: found properties {sorted(known)}, "
            f"expected a time axis and one of {', '.join(_LABEL_PROPERTIES)}."
        )
    kind = [name for name in ("kind",) if name in meta.edge_props_metadata]
    graph = read_graph(place, time=time, nodes=[time, label], edges=kind)
    labels = graph.nodes[label]
    labelled = ~graph.missing.get(label, np.zeros(len(labels), dtype=bool))
    if labelled.any() and not _are_labels(labels[labelled]):
        raise LabelError(
            f"{path} has {label}s that are not valid labels, such as {labels[labelled][-1]} ({labels.dtype}); expected "
            f"whole numbers, 0 for background. {AGAIN}"
        )
    columns: dict[str, NDArray[Any]] = {}
    joined = labelled[graph.ends].all(axis=1)
    for prefix, row in zip(("", "next_"), graph.ends[joined].T, strict=True):
        columns[f"{prefix}frame"] = graph.nodes[time][row]
        columns[f"{prefix}label"] = labels[row].astype(np.uint64)
    if kind:
        columns["division"] = graph.edges["kind"][joined].astype(str) == "division"
    return pd.DataFrame(columns)


def _are_labels(values: NDArray[Any]) -> bool:
    """Whether values are whole numbers from 0, and not all of them background, as those of a lost chunk are."""
    try:
        return bool(as_labels(values, where="A graph").max() > 0)
    except LabelError:
        return False


def _open(path: str) -> zarr.Group | zarr.Array[Any]:
    if not is_url(path) and _is_array(Path(path)):
        try:
            return zarr.open_array(open_store(path), mode="r")
        except Exception as error:  # whatever is wrong in its metadata
            raise LabelError(
                f"{path} is not a readable zarr array ({one_line(error)}). Copy or make it again."
            ) from error
    return open_group(path)


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").is_file():
        return True
    document = folder / "zarr.json"
    return document.is_file() and read_json(Place(str(document))).get("node_type") == "array"


def _is_group(folder: Place) -> bool:
    return any((folder / document).exists() for document in ("zarr.json", ".zgroup"))


def _label_names(group: zarr.Group) -> list[str]:
    labels = child_of(group, "labels")
    if not isinstance(labels, zarr.Group):
        return []
    listed = listed_labels(dict(labels.attrs))
    return sorted(labels.group_keys()) if listed is None else listed


def _has_begun(group: zarr.Group, path: str) -> bool:
    """Whether labels are being made that are not listed yet."""
    labels = child_of(group, "labels")
    return isinstance(labels, zarr.Group) and (any(labels.group_keys()) or (Place(path) / "tlseg").exists())


def _group(parent: zarr.Group, name: str) -> zarr.Group:
    child = child_of(parent, name)
    if not isinstance(child, zarr.Group):
        raise LabelError(
            f"{parent.store_path} names {name}, but there is no such group. Check that the copy is complete."
        )
    return child


def _choose(names: list[str], name: str | None, prefer: Sequence[str], path: str) -> str:
    preferred = [n for n in prefer if n in names]
    wanted = name or (preferred[0] if preferred else names[0] if len(names) == 1 else None)
    if wanted not in names or wanted is None:
        found = ", ".join(names)
        asked = f"no labels named {wanted!r}; it has {found}" if wanted else f"several labels: {found}"
        raise LabelError(f"{path} has {asked}. Choose by name, or give the path of one: {path}/labels/{names[0]}.")
    return wanted


def _movie_of_multiscale(group: zarr.Group, source: str, geff: str | None, *, root: zarr.Group | None) -> LabelMovie:
    """Open a label image; `root` is the group whose labels it is one of."""
    image = parse_image(dict(group.attrs), where=source)
    array = child_of(group, image.paths[0])
    if not isinstance(array, zarr.Array):
        raise LabelError(
            f"{source} names level {image.paths[0]}, but there is no such array. Check that the copy is complete."
        )
    return movie_of_axes(
        array,
        "".join(image.axes),
        source=source,
        spacing_um=None if image.spacing_problem else image.spacing_um(),
        chunk=array.shards or array.chunks,
        geff=geff,
        first_frame=first_frame(image, _image_beside(root)),
        since_0=frames_since_0(image),
    )


def _image_beside(root: zarr.Group | None) -> ImageMetadata | None:
    """Describe the image of a group that holds labels; None if there is none that can be described."""
    if root is None or "multiscales" not in ome_of(dict(root.attrs)):
        return None
    try:
        return parse_image(dict(root.attrs), where=str(root.store_path))
    except MovieError:  # a damaged image does not keep its labels from being read
        return None


def _movie_of_array(array: zarr.Array[Any], source: str, axes: str | None) -> LabelMovie:
    named = _named_axes(array)
    if axes is not None and named:
        raise LabelError(f"Axes {axes} were given, but {source} names its own, {named}. Omit them.")
    chunk = array.shards or array.chunks
    if named:
        return movie_of_axes(array, named, source=source, chunk=chunk)
    return movie_of_array(array, source=source, axes=axes, chunk=chunk)


def _named_axes(array: zarr.Array[Any]) -> str | None:
    named = getattr(array.metadata, "dimension_names", None)
    return "".join(named) if named and all(n in ("t", "c", "z", "y", "x") for n in named) else None


def _geff(root: str, name: str) -> str | None:
    """Path of the tracks of these labels, None if there are none; a graph is Zarr v2, and invisible from a v3 group."""
    graph = graph_of(Place(root), name)
    return None if graph is None else graph.url
