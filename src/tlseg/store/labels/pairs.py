"""Find training data: images with instance labels, in every supported layout.

A pair is one stack and its labels; a movie gives one for every frame that has labels. Both are of the same time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import TrainingError
from tlseg.geometry import Box, Spacing
from tlseg.store.fs.paths import resolve
from tlseg.store.image.inputs import is_zarr
from tlseg.store.image.movie import open_source
from tlseg.store.image.stacks import PairPath, bbbc050_pairs, ctc_pairs, folder_pairs, read_stack
from tlseg.store.labels.image_of import image_of
from tlseg.store.labels.label_movie import LabelMovie, open_label_movie
from tlseg.store.labels.values import as_labels

PREFERRED_LABELS = ("truth", "nuclei")


def find_pairs(
    folder: str | Path,
    *,
    spacing_um: Spacing | None = None,
    labels: str | None = None,
    channel: int | str | None = None,
) -> list[PairPath]:
    """Find image stacks with labels in `folder`, sorted by group and name.

    Parameters
    ----------
    folder : str or Path
        BBBC050 as unpacked; a folder with `images/` and `labels/`; a Cell Tracking Challenge data set; an OME-Zarr
        movie with labels; or a folder of such movies.
    spacing_um : (z, y, x) float, optional
        Voxel spacing; needed if files do not state it, and preferred if they do.
    labels : str, optional
        Label image of an OME-Zarr movie; by default "truth", "nuclei" or the only one.
    channel : int or str, optional
        Channel of an OME-Zarr movie; the first by default.

    Raises
    ------
    TrainingError
        When there are no pairs, a spacing is not known, or `labels` or `channel` are given for anything but OME-Zarr.
    """
    place = Path(resolve(folder))
    if not place.exists():
        raise TrainingError(f"{folder} does not exist. Check the path of the training data.")
    if is_zarr(place):
        return _movie_pairs(place, spacing_um=spacing_um, labels=labels, channel=channel)
    for layout in (bbbc050_pairs, folder_pairs, ctc_pairs):
        found = layout(place, spacing_um=spacing_um)
        if found:
            _refuse_names(place, labels=labels, channel=channel)
            return found
    movies = sorted(p for p in place.iterdir() if is_zarr(p)) if place.is_dir() else []
    if movies:
        return [p for m in movies for p in _movie_pairs(m, spacing_um=spacing_um, labels=labels, channel=channel)]
    raise TrainingError(
        f"{folder} holds no training pairs. Expected images/*.tif with labels/*.tif of the same names, an OME-Zarr movie "
        "with labels or a folder of them, a Cell Tracking Challenge data set (01/, 01_GT/), or BBBC050's "
        "Images/train/Images with GroundTruth/train/GroundTruth_QCANet."
    )


def _refuse_names(folder: Path, **given: object) -> None:
    if asked := [f"{name} {value!r}" for name, value in given.items() if value is not None]:
        raise TrainingError(
            f"{' and '.join(asked)} would name what is inside OME-Zarr movies; {folder} holds TIFFs. Omit "
            f"{'it' if len(asked) == 1 else 'them'}."
        )


def read_pair(pair: PairPath) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read one pair: image as it is stored and labels as whole numbers, both (z, y, x).

    Raises
    ------
    TrainingError
        When they differ in shape.
    LabelError
        When the labels are not valid labels.
    """
    if is_zarr(pair.image):
        source, movie = open_source(pair.image, channel=pair.channel), open_label_movie(pair.labels)
        image: NDArray[Any] = source.read(pair.frame, Box.of_shape(source.frame_shape))
        labels = _read_labels(movie, pair.frame)
    else:
        image, labels = read_stack(pair.image), read_stack(pair.labels)
    if image.shape != labels.shape:
        raise TrainingError(f"{pair.name}: the image is {image.shape} and its labels are {labels.shape}.")
    return image, as_labels(labels, where=f"{pair.name}, {pair.labels},")


def _movie_pairs(
    path: Path, *, spacing_um: Spacing | None, labels: str | None, channel: int | str | None
) -> list[PairPath]:
    """Frames of an OME-Zarr movie that have labels; empty frames count as not labelled."""
    movie = open_label_movie(path, name=labels, prefer=PREFERRED_LABELS)
    root = Path(movie.source.rpartition("/labels/")[0] or path)
    found = image_of(open_source(movie.source), str(root), channel=channel)
    source = found.image
    if source is None or movie.source == source.url:
        why = found.note or "There is no image beside them."
        raise TrainingError(f"{movie.source} has labels without their image: {why} Give a movie with its own labels.")
    if spacing_um is None and source.spacing_problem:
        raise TrainingError(
            f"{path} has {source.spacing_problem}. Give the voxel size in micrometres with --spacing Z,Y,X."
        )
    group = root.name.removesuffix(".zarr").removesuffix(".ome")
    frames = [t for t in movie.frames if _read_labels(movie, t).any()]
    if not frames:
        raise TrainingError(f"No frame of {movie.source} has labels. Choose other labels, or leave this movie out.")
    return [
        PairPath(
            name=f"{group}_t{t:03d}",
            group=group,
            image=root,
            labels=Path(movie.source),
            spacing_um=spacing_um or source.spacing_um,
            frame=t,
            channel=channel,
        )
        for t in frames
    ]


def _read_labels(movie: LabelMovie, frame: int) -> NDArray[Any]:
    return np.asarray(movie.read(frame, Box.of_shape(movie.frame_shape(frame))))
