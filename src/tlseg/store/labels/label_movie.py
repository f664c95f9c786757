"""Open labels from files of any origin, frame by frame.

TIFF images, folders of them, Cell Tracking Challenge folders, zarr groups and arrays all become one `LabelMovie`:
frames of (z, y, x) labels that are read box by box, so that no movie has to fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tlseg.errors import LabelError, MovieError, one_line
from tlseg.geometry import Box, Shape, Spacing
from tlseg.store.fs.paths import resolve, text_of
from tlseg.store.image.file_numbers import FileNumbers
from tlseg.store.image.inputs import is_zarr
from tlseg.store.image.tiff import is_tiff
from tlseg.store.labels.record import made_by_model, read_record, recorded_frames, skipped_frames
from tlseg.store.labels.text import text_in
from tlseg.wording import how_many

Labels = npt.NDArray[np.generic]

TRACK_FILES = ("man_track.txt", "res_track.txt")
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LabelMovie:
    """Label images through time, of any origin.

    Attributes
    ----------
    source : str
        What was opened, for messages.
    frames : tuple of int
        Frame numbers, ascending. Labels in an OME-Zarr count as the image beside them does, from 0; without an image
        from time 0, so that a part of a movie has the movie's numbers.
    frame_shape : callable
        Voxels along (z, y, x) of a frame; 2D images have one plane. Frames of a folder may differ.
    read_box : callable
        What `read` calls.
    spacing_um : (z, y, x) float or None
        Micrometres per voxel, if the file gives them.
    chunk : (z, y, x) int or None
        Box in which reading is cheapest; None if a frame is read whole.
    numbered : bool
        Whether file names carry the frame numbers, so that frames may be missing.
    files : FileNumbers or None
        Numbers in the names of files that are not from the Cell Tracking Challenge; `frames` are as evenly spaced as these,
        and start at 0.
    planes : mapping of int to ints
        Frames of which only some z planes are labelled, and which; empty where frames are whole.
    track_file : Path or None
        Cell Tracking Challenge track file.
    geff : str or None
        Graph of the same objects.
    segmented : tuple of int
        Frames that the run segmented, if it left out others, which are empty; empty if all of them count.
    movie_frames : tuple of int
        Frames of the segmented movie that these are, if a run record says so.
    skipped : tuple of int
        Frames of the segmented movie that the run was told to leave empty.
    since_0 : int or None
        Frames from time 0 to the first of these, if the file gives it.
    by_model : bool
        Whether a run record says that tlseg segmented them.
    """

    source: str
    frames: tuple[int, ...]
    frame_shape: Callable[[int], Shape]
    read_box: Callable[[int, Box], Labels]
    spacing_um: Spacing | None = None
    chunk: Shape | None = None
    numbered: bool = False
    files: FileNumbers | None = None
    planes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    track_file: Path | None = None
    geff: str | None = None
    segmented: tuple[int, ...] = ()
    movie_frames: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()
    since_0: int | None = None
    by_model: bool = False

    @property
    def shape(self) -> Shape:
        """Voxels along (z, y, x) of the first frame."""
        return self.frame_shape(self.frames[0])

    def read(self, frame: int, box: Box) -> Labels:
        """Return the labels inside `box` of one frame, shape `box.shape`, as stored (0 is background)."""
        return self.read_box(frame, box)

    def tracks(self) -> pd.DataFrame | None:
        """Return the track file as columns track, start, end, parent (0: none); None if there is none."""
        return None if self.track_file is None else read_track_file(self.track_file)

    def links(self) -> pd.DataFrame | None:
        """Return the graph's edges as columns frame, label, next_frame, next_label; None if there is no graph."""
        if self.geff is None:
            return None
        from tlseg.store.labels.label_movie_zarr import read_geff_links

        links, ends = read_geff_links(self.geff), ["frame", "next_frame"]
        # A graph counts frames from 0, whatever they are called here; it may reach beyond them.
        links = links[links[ends].isin(range(len(self.frames))).all(axis=1)]
        numbers = np.asarray(self.frames, dtype=np.int64)
        return links.assign(**{end: numbers[links[end]] for end in ends})

    def numbered_as(self, frames: Sequence[int]) -> LabelMovie:
        """Return the same movie with other frame numbers, as many as it has."""
        old = dict(zip(frames, self.frames, strict=True))
        return replace(
            self,
            frames=tuple(frames),
            frame_shape=lambda frame: self.frame_shape(old[frame]),
            read_box=lambda frame, box: self.read_box(old[frame], box),
            planes={new: self.planes[t] for new, t in old.items() if t in self.planes},
            segmented=tuple(new for new, t in old.items() if t in self.segmented),
        )


def open_label_movie(
    path: str | Path, *, name: str | None = None, prefer: Sequence[str] = ("nuclei",), axes: str | None = None
) -> LabelMovie:
    """Open label images of any supported kind, without reading pixels.

    Parameters
    ----------
    path : str or Path
        A label TIFF (2D, 3D, or with time); a folder of label TIFFs, one per frame in natural order, with no frame where
        a number is missing in their names; a Cell Tracking Challenge folder (`maskTTT.tif`, `man_trackTTT.tif` or
        `man_segTTT.tif`, with or without its track file); an OME-Zarr image with `labels/`, an OME-Zarr label image, or a
        zarr array; the latter three also as a URL.
    name : str, optional
        Label image inside an OME-Zarr.
    prefer : sequence of str
        If no name is given: the first of these that exists, or else the only label image.
    axes : str, optional
        Axes of a single TIFF or a zarr array, slowest first, such as "tyx"; by default those it names, or else the last
        of t, z, y, x.

    Raises
    ------
    LabelError
        When there is nothing there, or nothing that holds labels, or `name` or `axes` do not fit or are given for anything
        else.
    MovieError
        When `path` is not a path or URL.
    """
    if not text_of(path):
        raise LabelError("An empty path was given for labels. Give a TIFF, a folder of TIFFs, or an OME-Zarr.")
    text = resolve(path)
    place = Path(text)
    axes = None if axes is None else as_axes(axes)
    if is_zarr(text) or place.suffix == ".zarr":
        from tlseg.store.labels.label_movie_zarr import open_zarr_labels

        return _as_recorded(open_zarr_labels(text, name=name, prefer=prefer, axes=axes))
    from tlseg.store.labels.label_movie_tiff import open_folder_labels, open_tiff_labels

    if not place.exists():
        raise LabelError(f"There is nothing at {text}. Check the path.")
    if name is not None:
        raise LabelError(
            f"Labels called {name!r} were asked for, but only those in an OME-Zarr have names, and {text} is "
            "none. Omit the name."
        )
    if place.is_dir():
        if axes is not None:
            raise LabelError(f"Axes {axes} were given, but each file in {text} is one frame. Omit them.")
        return open_folder_labels(place)
    if not is_tiff(place):
        raise LabelError(f"{text} is not a readable label file. Give a TIFF, a folder of TIFFs, or an OME-Zarr.")
    return open_tiff_labels(place, axes=axes)


def as_axes(axes: str) -> str:
    """Return letters of axes in lower case, after checking that they can be those of labels."""
    letters = axes.lower() if isinstance(axes, str) else ""
    if not _are_axes(letters):
        raise LabelError(f"Axes {axes!r} were given. Expected y and x, and any of t, c and z before them, such as tyx.")
    return letters


def _are_axes(letters: str) -> bool:
    return {"y", "x"} <= set(letters) <= set("tczyx") and len(set(letters)) == len(letters)


def takes_axes(path: str | Path) -> bool:
    """Whether axes can be given for labels: those of a single file, or of a zarr array that does not name them."""
    text = resolve(path)
    if is_zarr(text) or Path(text).suffix == ".zarr":
        from tlseg.store.labels.label_movie_zarr import is_bare_array

        return is_bare_array(text)
    return not Path(text).is_dir()


def movie_of_array(
    array: Any, *, source: str, axes: str | None = None, chunk: Sequence[int] | None = None
) -> LabelMovie:
    """Wrap an array of labels (y, x), (z, y, x) or (t, z, y, x), or with the axes given; lazy arrays are read box by box."""
    ndim = len(array.shape)
    if axes is None and ndim not in (2, 3, 4):
        raise LabelError(f"{source} has {how_many(ndim, 'axis', 'axes')}; expected (y, x), (z, y, x) or (t, z, y, x).")
    return movie_of_axes(array, "tzyx"[4 - ndim :] if axes is None else as_axes(axes), source=source, chunk=chunk)


def movie_of_axes(
    array: Any,
    axes: str,
    *,
    source: str,
    spacing_um: Spacing | None = None,
    chunk: Sequence[int] | None = None,
    geff: str | None = None,
    first_frame: int = 0,
    since_0: int | None = None,
) -> LabelMovie:
    """Wrap an array whose axes are given by letter, in any order of t, c, z, y, x with at most one channel.

    Parameters
    ----------
    array : array-like
        Anything with `shape` that is sliced like numpy.
    axes : str
        One letter for each axis.
    source, spacing_um, geff, since_0
        See `LabelMovie`.
    chunk : sequence of int, optional
        Voxels per chunk along `axes`.
    first_frame : int
        Number of the first frame.
    """
    if len(axes) != len(array.shape):
        raise LabelError(f"{source} has the shape {array.shape}, which does not fit axes {', '.join(axes)}.")
    sizes = dict(zip(axes, (int(n) for n in array.shape), strict=True))
    if not _are_axes(axes):
        raise LabelError(f"{source} has axes {', '.join(axes)}; expected y and x, and any of t, c and z.")
    if sizes.get("c", 1) != 1:
        raise LabelError(f"{source} has {sizes['c']} channels; a label image has one. Give one channel of it.")
    shape = (sizes.get("z", 1), sizes["y"], sizes["x"])
    order = [letter for letter in axes if letter in "zyx"]

    def read(frame: int, box: Box) -> Labels:
        cut: dict[str, int | slice] = {"t": frame - first_frame, "c": 0, **dict(zip("zyx", box.slices, strict=True))}
        try:
            part = np.asarray(array[tuple(cut[letter] for letter in axes)])
        except Exception as error:  # every store and codec has errors of its own
            raise LabelError(
                f"{source}: frame {frame}, voxels {list(box.start)} to {list(box.stop)} cannot be read "
                f"({one_line(error)}). A chunk is damaged or cut short; copy the labels again, or make them again."
            ) from error
        part = part.transpose([order.index(letter) for letter in "zyx" if letter in order])
        return part if "z" in order else part[None]

    per_axis = dict(zip(axes, chunk, strict=True)) if chunk is not None else None
    return LabelMovie(
        source=source,
        frames=tuple(range(first_frame, first_frame + sizes.get("t", 1))),
        frame_shape=lambda _frame: shape,
        read_box=read,
        spacing_um=spacing_um,
        chunk=None if per_axis is None else (per_axis.get("z", 1), per_axis["y"], per_axis["x"]),
        geff=geff,
        since_0=since_0,
    )


def read_track_file(path: Path) -> pd.DataFrame:
    """Read a Cell Tracking Challenge track file: columns track, start, end, parent (0: none), all int64."""
    text = text_in(path, expected="Expected lines of four whole numbers: track, start, end, parent.")
    rows = []
    seen: set[int] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = [int(part) for part in line.split()]
        except ValueError:
            values = [-1]
        if values and (len(values) != 4 or min(values) < 0 or max(values) > _MOST):
            raise LabelError(
                f"{path}, line {number}: found {line!r}, expected four whole numbers: track, start, end, parent."
            )
        if values and (values[0] in seen or values[1] > values[2]):
            wrong = "appears twice" if values[0] in seen else "ends before it starts"
            raise LabelError(f"{path}, line {number}: track {values[0]} {wrong}. Correct the track file.")
        seen.update(values[:1])
        rows += [values] if values else []
    return pd.DataFrame(np.array(rows, dtype=np.int64).reshape(-1, 4), columns=["track", "start", "end", "parent"])


def _as_recorded(movie: LabelMovie) -> LabelMovie:
    """Add which frames of their movie labels cover, and whether tlseg made them, if a run record beside them says so."""
    root, _, name = movie.source.rpartition("/labels/")
    try:
        record = read_record(root, name) if root else {}
    except (LabelError, MovieError):  # anyone's labels may have a record of another kind beside them
        return movie
    movie = replace(movie, by_model=made_by_model(record))
    chosen = recorded_frames(record, len(movie.frames))
    if len(chosen) == len(movie.frames):
        return replace(movie, movie_frames=tuple(chosen), skipped=tuple(skipped_frames(record)))
    segmented = movie.frames[chosen.start : chosen.stop]
    return replace(movie, segmented=segmented, skipped=tuple(skipped_frames(record)) if segmented else ())
