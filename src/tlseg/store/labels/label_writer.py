"""Label output: a uint32 label movie beside the pixels, written region by region, listed only once it is complete.

A label movie in the making has arrays but no OME metadata and no entry in `labels/zarr.json`: no reader shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlseg.errors import LabelError
from tlseg.geometry import Box, Grid
from tlseg.store.fs.documents import read_json, replace_json
from tlseg.store.fs.groups import writable_group
from tlseg.store.fs.paths import check_name, real
from tlseg.store.fs.place import Place, place_of
from tlseg.store.image.arrays import PyramidArrays, ensure_arrays
from tlseg.store.image.metadata import Json, image_axes, write_multiscales
from tlseg.store.image.movie import MovieSource
from tlseg.store.image.pyramid import Pyramid, plan_pyramid, pyramid_like
from tlseg.store.labels.label_group import add_labels, forget_labels, prepare_root

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
        add_labels(Place(self.root), self.name)


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
        forget_labels(folder, name)
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


def _as_uint32(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint32]:
    if labels.dtype.kind not in "ui":
        raise LabelError(f"Labels are {labels.dtype}. Expected integers.")
    if labels.dtype != np.uint32 and labels.size and (int(labels.min()) < 0 or int(labels.max()) > MAX_LABEL):
        raise LabelError(f"Labels reach from {labels.min()} to {labels.max()}. Expected 0 to {MAX_LABEL} (uint32).")
    return labels.astype(np.uint32, copy=False)
