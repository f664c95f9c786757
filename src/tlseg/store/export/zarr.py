"""Image and labels as OME-Zarr 0.4 (Zarr v2), which Fiji, MoBIE and other readers of today open.

Levels are copied chunk by chunk as they are, so the values, the pyramid and its coordinates stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from tlseg.errors import MovieError, one_line
from tlseg.store.export.target import attributes_of
from tlseg.store.fs.groups import open_group
from tlseg.store.image.metadata import Json, ome_of, parse_image

SLAB_BYTES = 64 * 2**20
MARK = {"tlseg": {"export": "ome-zarr-0.4"}}
"""Attribute that tells an export, which may be replaced, from someone's movie."""


def write_v04(source: str, name: str, target: Path, *, progress: Callable[[int, int], None]) -> bool:
    """Copy an OME-Zarr image and one of its label images to a new 0.4 group.

    Parameters
    ----------
    source : str
        OME-Zarr group, local or a URL.
    name : str
        Label image in its `labels/`.
    target : Path
        New folder.
    progress : callable
        Called with (done, total) pieces.

    Returns
    -------
    bool
        Whether there is an image; a result without one becomes a group of labels.
    """
    import zarr

    root = open_group(source)
    pixels = open_group(f"{source}/labels/{name}")
    image = "multiscales" in ome_of(dict(root.attrs))
    copies = [(root, target)] if image else []
    copies.append((pixels, target / "labels" / name))
    arrays = [(group, path, parse_image(dict(group.attrs), where=source).paths) for group, path in copies]
    total = sum(len(_places(group[level])) for group, _, levels in arrays for level in levels)
    done = 0
    progress(done, total)
    zarr.create_group(target, zarr_format=2, attributes=MARK)
    zarr.create_group(target / "labels", zarr_format=2, attributes={"labels": [name]})
    for group, path, levels in arrays:
        labels = group is pixels
        made = zarr.open_group(path, mode="a", zarr_format=2)
        for level in levels:
            for _ in _copy(group[level], made, level, empty_chunks=not labels):
                done += 1
                progress(done, total)
        made.attrs.update(_attributes(ome_of(dict(group.attrs)), name=name, labels=labels, image=image))
    return image


def is_v04_export(folder: Path) -> bool:
    """Whether a folder was written by `write_v04`."""
    return attributes_of(folder).get("tlseg") == MARK["tlseg"]


def _copy(source: Any, group: Any, level: str, *, empty_chunks: bool) -> Iterator[None]:
    """Make an array of the same shape and values; yields after every piece."""
    from numcodecs import Blosc

    array = group.create_array(
        level,
        shape=source.shape,
        dtype=source.dtype,
        chunks=source.chunks,
        compressors=Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE),
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    ).with_config({"order": "C", "write_empty_chunks": empty_chunks})
    for place in _places(source):
        try:
            voxels = source[place]
        except Exception as error:  # every store and codec has errors of its own
            raise MovieError(
                f"{source.store_path} cannot be read ({one_line(error)}). A chunk is damaged or cut short."
            ) from error
        array[place] = voxels
        yield


def _places(array: Any) -> list[tuple[slice, ...]]:
    """Pieces of whole chunks: shards where they fit the memory bound, else chunks."""
    size = array.shards or array.chunks
    if prod(size) * array.dtype.itemsize > SLAB_BYTES:
        size = array.chunks
    ranges = (range(0, n, s) for n, s in zip(array.shape, size, strict=True))
    return [
        tuple(slice(a, min(a + s, n)) for a, s, n in zip(start, size, array.shape, strict=True))
        for start in product(*ranges)
    ]


def _attributes(ome: Mapping[str, Any], *, name: str, labels: bool, image: bool) -> Json:
    """Attributes of 0.4: the same multiscales, with the version in each of them instead of beside."""
    found: Json = {"multiscales": [{**m, "version": "0.4"} for m in ome["multiscales"]]}
    if labels:
        found["multiscales"][0].setdefault("name", name)
        found["image-label"] = {"version": "0.4"} | ({"source": {"image": "../../"}} if image else {})
    elif isinstance(ome.get("omero"), Mapping):
        found["omero"] = dict(ome["omero"])
    return found
