"""Label output: a uint32 label movie beside the pixels, written region by region, listed only once it is complete.

A label movie in the making has arrays but no OME metadata and no entry in `labels/zarr.json`: no reader shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlseg.errors import LabelError, one_line
from tlseg.geometry import Box, Grid
from tlseg.store.fs.documents import read_json, refresh_consolidated, replace_json
from tlseg.store.fs.groups import writable_group
from tlseg.store.fs.paths import check_name, real
from tlseg.store.fs.place import Place, place_of
from tlseg.store.fs.refused import refusal
from tlseg.store.image.arrays import PyramidArrays, ensure_arrays
from tlseg.store.image.metadata import Json, image_axes, write_multiscales
from tlseg.store.image.movie import MovieSource
from tlseg.store.image.pyramid import Pyramid, plan_pyramid, pyramid_like
from tlseg.store.locks.group_lock import turn

LabelMode = Literal["new", "resume", "overwrite"]
MAX_LABEL = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True)
class LabelWriter:
    """Writes one label movie; a small value that travels to workers.

    Attributes
    ----------
    root : str
        OME-Zarr group that holds `labels/`.
    name : str
        Name of the label movie.
    first_frame : int
        Frame of the movie that is frame 0 of the label movie.
    interval_s : float or None
        Seconds between frames.
    start_s : float
        Time of the label movie's first frame.
    arrays : PyramidArrays
        Where the pixels go.
    """

    root: str
    name: str
    first_frame: int
    interval_s: float | None
    start_s: float
    arrays: PyramidArrays

    @property
    def regions(self) -> Grid:
        """Regions of a frame: each is a whole number of shards at every level, so one owner can write it alone."""
        return self.arrays.pyramid.regions

    def write(self, frame: int, box: Box, labels: npt.NDArray[np.integer[Any]]) -> None:
        """Write the labels of a box at every pyramid level.

        Parameters
        ----------
        frame : int
            Frame number in the movie.
        box : Box
            A whole number of regions.
        labels : array (z, y, x) of integers
            Labels of the box, 0 for background.

        Raises
        ------
        PlanError
            If the box shares a shard with its neighbour.
        LabelError
            If a label does not fit in uint32.
        """
        self.arrays.write(frame - self.first_frame, box, _as_uint32(labels))

    def flush(self, frame: int, box: Box) -> None:
        """Wait until the labels of a box of whole regions are on the disk."""
        self.arrays.flush(frame - self.first_frame, box)

    def read(self, frame: int, box: Box) -> npt.NDArray[np.uint32]:
        """Read the labels (z, y, x) of a box of one frame of the movie at level 0."""
        return self.arrays.read(frame - self.first_frame, box).astype(np.uint32, copy=False)

    def finish(self, provenance: Mapping[str, Any] | None = None, *, source: str | None = "../../") -> None:
        """Write the metadata and list the label movie; until then no reader sees it. Doing it twice changes nothing.

        Parameters
        ----------
        provenance : mapping, optional
            How the labels were made; goes to `attributes.tlseg`.
        source : str, optional
            The image they belong to, relative to the label group; None if there is none.
        """
        root = Place(self.root)
        write_multiscales(
            writable_group(self.arrays.group),
            name=self.name,
            axes=image_axes(self.arrays.axes, interval_known=self.interval_s is not None),
            datasets=self.arrays.datasets(interval_s=self.interval_s, start_s=self.start_s),
            kind="stride",
        )
        path = Place(self.arrays.group) / "zarr.json"
        document = read_json(path)
        attributes = document["attributes"]
        image_label: Json = {"version": "0.5"} | ({"source": {"image": source}} if source else {})
        attributes["ome"]["image-label"] = image_label
        if provenance is not None:
            attributes["tlseg"] = dict(provenance)
        replace_json(path, document)
        with turn(root):
            names = existing_labels(root)
            if self.name not in names:
                _list_labels(root, [*names, self.name])
            refresh_consolidated(root)


def create_labels(
    root: str | Path | Place,
    *,
    name: str = "nuclei",
    source: MovieSource,
    frames: range | None = None,
    mode: LabelMode = "new",
) -> LabelWriter:
    """Create the arrays of a label movie for one movie.

    Parameters
    ----------
    root : str, Path or Place
        OME-Zarr 0.5 group, a path or a URL, that gets `labels/<name>`; created if absent.
    name : str, default: "nuclei"
        Name of the label movie.
    source : MovieSource
        The movie the labels belong to: gives shape, spacing and number of levels.
    frames : range, optional
        Frames of the movie that the label movie holds; all if not given. Labels beside the movie itself hold all.
    mode : {"new", "resume", "overwrite"}, default: "new"
        What to do if labels of this name exist: refuse, continue writing into them, or start over.

    Raises
    ------
    LabelError
        If labels of this name exist and may not be touched, or the group cannot hold labels.
    """
    folder, frames = place_of(root), frames if frames is not None else range(source.n_frames)
    check_name(name)
    arrays = PyramidArrays(
        group=str(folder / "labels" / name),
        kind="labels",
        axes="tyx" if source.is_2d else "tzyx",
        n_frames=len(frames),
        n_channels=1,
        dtype="uint32",
        pyramid=pyramid_beside(source, folder),
    )
    start_s = source.time_s(frames.start)
    writer = LabelWriter(str(folder), name, frames.start, source.interval_s, start_s, arrays)
    group = Place(arrays.group)
    exists = group.exists()
    if exists and mode == "new":
        raise LabelError(f"{folder} already has labels {name!r}. Use --overwrite to replace them, or another --name.")
    prepare_root(folder)
    if exists and mode == "overwrite":
        _forget(folder, name)
        group.remove()
    ensure_arrays(arrays)
    return writer


def pyramid_beside(source: MovieSource, root: str | Path | Place) -> Pyramid:
    """Layout of labels for `source` in `root`: as many levels as the image there, our own where it is to be copied."""
    own = plan_pyramid(source.frame_shape, spacing_um=source.spacing_um, translation_um=source.translation_um)
    shapes = tuple(own.level_shape(k) for k in range(len(own.factors)))
    if real(root) != real(source.url) or source.level_shapes == shapes:
        return own
    return pyramid_like(source.level_shapes, spacing_um=source.spacing_um, translation_um=source.translation_um)


def existing_labels(root: str | Path | Place) -> list[str]:
    """Names of the finished label movies of a group, in the order they were listed."""
    path = place_of(root) / "labels" / "zarr.json"
    if not path.exists():
        return []
    names = read_json(path).get("attributes", {}).get("ome", {}).get("labels", [])
    return [str(n) for n in names] if isinstance(names, list) else []


def _as_uint32(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint32]:
    if labels.dtype.kind not in "ui":
        raise LabelError(f"Labels are {labels.dtype}. Expected integers.")
    if labels.dtype != np.uint32 and labels.size and (int(labels.min()) < 0 or int(labels.max()) > MAX_LABEL):
        raise LabelError(f"Labels reach from {labels.min()} to {labels.max()}. Expected 0 to {MAX_LABEL} (uint32).")
    return labels.astype(np.uint32, copy=False)


def prepare_root(root: Path | Place) -> None:
    """Make `root` an OME-Zarr 0.5 group that can hold labels, or check that it is one.

    Raises
    ------
    LabelError
        If it is something else, or cannot be written to.
    RunError
        If the disk is full.
    """
    root = place_of(root)
    check_root(root)
    try:
        if not (root / "zarr.json").exists():
            writable_group(root.url)
        if not (root / "labels" / "zarr.json").exists():
            _make_labels(root)
    except OSError as error:
        found = f"{root} cannot be written to ({one_line(error)})"
        raise refusal(error, found, instead="Write elsewhere with --out.") from error


def absent(root: Place, folder: Place) -> list[Place]:
    """What of an output is not there yet, outermost first: `root`, its groups, and the `folder` of a run's record."""
    return [place for place in (root, root / "labels", root / "tlseg", folder) if not place.exists()]


def remove_empty(places: list[Place]) -> None:
    """Remove those of these folders that hold nothing, the last first; an object store has no empty folders."""
    for place in reversed(places):
        if not place.remote:
            with suppress(OSError):  # it holds something, or another run is using it
                place.path.rmdir()


def clear(places: list[Place]) -> None:
    """Remove the last of `places`, and of those around it what then holds no more than an empty group's metadata."""
    for i, place in enumerate(reversed(places)):
        if i == 0 or set(place.names()) <= {"zarr.json"}:
            place.remove()


def check_root(root: Place) -> None:
    """Raise `LabelError` unless `root` is an OME-Zarr 0.5 group, or nothing is there and it can be made."""
    names = root.names()
    if ".zgroup" in names or ".zattrs" in names:
        raise LabelError(f"{root} is OME-Zarr 0.4 (Zarr v2), which cannot hold 0.5 labels. Write elsewhere with --out.")
    if names and "zarr.json" not in names:
        raise LabelError(f"{root} is a folder but not a Zarr group. Expected an OME-Zarr 0.5 group or a new path.")


def _make_labels(root: Place) -> None:
    """Make the group of labels, unless another run does first."""
    with turn(root):
        if not (root / "labels" / "zarr.json").exists():
            writable_group(f"{root}/labels")
            _list_labels(root, [])


def _forget(root: Place, name: str) -> None:
    if name not in existing_labels(root):
        return
    with turn(root):
        _list_labels(root, [n for n in existing_labels(root) if n != name])


def _list_labels(root: Place, names: list[str]) -> None:
    path = root / "labels" / "zarr.json"
    document = read_json(path)
    ome = document.setdefault("attributes", {}).setdefault("ome", {})
    ome.update(version="0.5", labels=names)
    replace_json(path, document)
