"""Label movies from any source, as a run reads them: frames numbered like their image's, with spacing and grey values.

Anything that does not fit is reported before any pixel is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import LabelError, MovieError
from tlseg.geometry import Box, Shape, Spacing, as_spacing
from tlseg.measure.exact import most_grey
from tlseg.store.fs.paths import is_url, resolve
from tlseg.store.image.inputs import is_zarr
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.image_of import ImageBeneath, image_of
from tlseg.store.labels.label_movie import LabelMovie, open_label_movie, takes_axes
from tlseg.store.labels.values import as_uint32


@dataclass(frozen=True, slots=True)
class LabelInput:
    """A label movie and what is known about it.

    Attributes
    ----------
    movie : LabelMovie
        The labels; frame `t` is frame `t` of `base`.
    base : MovieSource
        Shape, spacing and times of the output: the image's, or else made from the labels. Its pixels are read only
        where it is the image.
    has_image : bool
        Whether `base` is an image of the same voxels.
    own_name : str or None
        Name of the labels inside their OME-Zarr.
    home : Path or None
        Local, writable OME-Zarr 0.5 image that holds the labels.
    notes : tuple of str
        Notes for the user.
    """

    movie: LabelMovie
    base: MovieSource
    has_image: bool
    own_name: str | None
    home: Path | None
    notes: tuple[str, ...]

    @property
    def frames(self) -> range:
        """Frames from the first with labels to the last; some in between may be missing."""
        return range(self.movie.frames[0], self.movie.frames[-1] + 1)

    @property
    def numbers(self) -> range:
        """Numbers of the segmented frames in the movie that was filmed, as the record of the labels has them.

        Labels of part of a movie count from 0 themselves. Without a record, `frames`.
        """
        known = self.movie.segmented or self.movie.movie_frames
        return range(known[0], known[-1] + 1) if known else self.frames

    @property
    def offset(self) -> int:
        """Number of a frame in the movie that was filmed, less its number here: 0 but for copies of part of a movie."""
        known = self.movie.movie_frames
        return known[0] - self.frames.start if known else 0

    @property
    def image(self) -> MovieSource | None:
        """The image of the same voxels, None if there is none."""
        return self.base if self.has_image else None

    def labels(self, frame: int, box: Box) -> NDArray[np.uint32]:
        """Labels (z, y, x) of a box; a missing frame has none.

        Raises
        ------
        LabelError
            If there are values that are not labels.
        """
        if frame not in self.movie.frames:
            return np.zeros(box.shape, dtype=np.uint32)
        return as_uint32(self.movie.read(frame, box), where=f"{self.movie.source}, frame {frame}")

    def grey(self, frame: int, box: Box, *, labels: NDArray[np.uint32]) -> NDArray[np.generic]:
        """Grey values (z, y, x) of a box where there are `labels` (z, y, x), 0 elsewhere or without an image.

        Raises
        ------
        MovieError
            If one of them cannot be added exactly (`tlseg.measure.exact`): it is NaN, infinite, or too large.
        """
        if not self.has_image:
            return np.zeros(box.shape, dtype=np.uint8)
        values = np.where(labels != 0, self.base.read(frame, box), 0)
        most = most_grey(values.dtype)
        bad = ~((values >= -most) & (values <= most))
        if not np.isfinite(values[bad]).all():
            raise MovieError(
                f"{self.base.url}, channel {self.base.channel_names[self.base.channel]}: in frame {frame}, label "
                f"{labels[bad & ~np.isfinite(values)][0]} contains NaN or infinite values. Choose another --channel, or "
                "replace these values."
            )
        if bad.any():
            raise MovieError(
                f"{self.base.url}: in frame {frame}, label {labels[bad][0]} contains the grey value {values[bad][0]:g}. "
                f"Expected numbers from {-most:g} to {most:g}: replace it, or convert the image to float32."
            )
        return values


def open_labels(
    labels: str | Path,
    *,
    name: str | None,
    prefer: Sequence[str],
    axes: str | None,
    spacing_um: Sequence[float] | None,
    interval_s: float | None,
    channel: int | str | None,
) -> LabelInput:
    """Open a label movie and the image it belongs to.

    Parameters
    ----------
    labels
        Anything `open_label_movie` opens.
    name, prefer, axes
        See `open_label_movie`.
    spacing_um
        Micrometres per voxel (z, y, x), or (y, x) in 2D, instead of what the files say.
    interval_s
        Seconds between frames, instead of what the files say.
    channel
        Channel of the image to measure; the first if not given.

    Raises
    ------
    LabelError, MovieError
        If the labels do not exist, frames differ in shape, the spacing is unknown, or a channel is given and there is no
        image.
    """
    movie = open_label_movie(labels, name=name, prefer=prefer, axes=axes)
    _check_frames(movie)
    root, below, own = movie.source.rpartition("/labels/")
    layout = _own_layout(movie) if is_zarr(movie.source) else None
    found = image_of(layout, root, channel=channel) if below and layout is not None else ImageBeneath(None)
    image = found.image
    if channel is not None and image is None:
        raise LabelError(
            f"{movie.source} has no image of which channel {channel} could be measured. {found.note or 'Omit it.'}"
        )
    if layout is not None:
        movie = movie.numbered_as(range(found.first, found.first + layout.n_frames))
    base = image or layout or _made_up(movie)
    spacing = _spacing(base, spacing_um, where=movie.source)
    interval = base.interval_s if interval_s is None else interval_s
    base = replace(base, spacing_um=spacing, spacing_problem=None, interval_s=interval)
    writable = image is not None and image.writable and not is_url(root)
    return LabelInput(
        movie=movie,
        base=base,
        has_image=image is not None,
        own_name=own if below and layout is not None else None,
        home=Path(root) if writable else None,
        notes=tuple(filter(None, (found.note, _gaps(movie)))),
    )


def _check_frames(movie: LabelMovie) -> None:
    if movie.planes:
        raise LabelError(f"{movie.source} labels single planes of frames. Give whole frames.")
    if not movie.frames:
        raise LabelError(f"{movie.source} has no frames. Give a label movie.")
    shape = movie.shape
    for frame in movie.frames:
        if movie.frame_shape(frame) != shape:
            raise LabelError(
                f"{movie.source}: frame {frame} has {movie.frame_shape(frame)} voxels (z, y, x), the first {shape}. "
                "Expected one shape for all; crop or pad them first."
            )
    files = movie.files
    if files and files.missing > len(files.values):
        raise LabelError(
            f"{files.described()}: more numbers are missing than present: {files.missing_names()}. A frame without a file "
            "is an empty one, so these do not seem to count frames. Number the files by frame, or add the missing ones."
        )
    if 0 in shape:
        raise LabelError(
            f"{movie.source} has frames of {shape} voxels (z, y, x). Expected at least one along each axis."
        )


def _gaps(movie: LabelMovie) -> str:
    """Say which frames have no file; empty if all have one."""
    files = movie.files
    every = f"{files.described()}: each is one frame. " if files and files.step > 1 else ""
    frames = movie.frames[-1] + 1 - movie.frames[0]
    empty = frames - len(movie.frames)
    return (
        every + (f"There is no file for {empty} of {frames} frames, which are taken as empty." if empty else "")
    ).strip()


def _own_layout(movie: LabelMovie) -> MovieSource | None:
    """Return the label movie as a multiscale image; None for a bare array, which says nothing about itself."""
    try:
        return open_source(movie.source)
    except MovieError:
        return None


def _made_up(movie: LabelMovie) -> MovieSource:
    """Describe what a movie with these labels would be; frame numbers are times."""
    shape: Shape = movie.shape
    spacing = movie.spacing_um
    if spacing is not None and shape[0] == 1:
        spacing = (1.0, *spacing[1:])  # as labels without a z axis are read again
    return MovieSource(
        url=resolve(movie.source),
        array_path="",
        axes="tyx" if shape[0] == 1 else "tzyx",
        channel=0,
        shape=(movie.frames[-1] + 1, *shape),
        dtype="|u1",
        spacing_um=spacing or (1.0, 1.0, 1.0),
        translation_um=(0.0, 0.0, 0.0),
        spacing_problem=None if spacing else "no voxel spacing",
        interval_s=None,
        start_s=0.0,
        channel_names=("labels",),
        version="",
        is_2d=shape[0] == 1,
        writable=False,
        level_shapes=(shape,),
        digest="",
    )


def _spacing(base: MovieSource, given: Sequence[float] | None, *, where: str) -> Spacing:
    if given is None:
        if base.spacing_problem:
            order = "Y,X" if base.is_2d else "Z,Y,X"
            raise LabelError(
                f"{where} has {base.spacing_problem}, but distances need one. Give micrometres with --spacing {order}."
            )
        return base.spacing_um
    planes = base.frame_shape[0]
    if np.shape(given) == (2,) and planes > 1 and takes_axes(where):
        raise LabelError(
            f"Spacing {tuple(given)} was given for {where}, which is read as stacks of {planes} planes. Expected Z,Y,X in "
            "micrometres. If these planes are frames of a 2D movie, use --axes TYX."
        )
    return as_spacing(given, is_2d=base.is_2d, error=LabelError)
