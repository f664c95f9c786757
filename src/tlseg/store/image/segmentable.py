"""Can frames of a movie be segmented? Answered from metadata and the list of chunks, before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tlseg.errors import MovieError
from tlseg.store.image.chunks import describe_missing
from tlseg.store.image.movie import MovieSource
from tlseg.wording import how_many

SEGMENTABLE = ("uint8", "uint16", "int16", "float32")


def check_segmentable(source: MovieSource, frames: range, *, allow_missing: bool = False) -> None:
    """Raise unless these frames can be segmented: known spacing, all pixels present, a supported data type.

    Parameters
    ----------
    source : MovieSource
        The movie.
    frames : range
        Frames to segment.
    allow_missing : bool, default: False
        Accept missing chunks, which read as the fill value.

    Raises
    ------
    MovieError
        At the first thing that does not fit; one line: found, expected, what to do.
    """
    where = source.url
    convert = f"tlseg convert {Path(where).name} OUT.ome.zarr"
    if 0 in source.shape or not frames:
        t, z, y, x = source.shape
        raise MovieError(
            f"{where}: nothing to segment in {len(frames)} of {how_many(t, 'frame')} of {z} x {y} x {x} voxels. "
            "Expected at least one of each; give other frames, or convert the movie again from its source."
        )
    if not (0 <= frames[0] < source.n_frames and 0 <= frames[-1] < source.n_frames):
        raise MovieError(
            f"{where}: frames {frames[0]}:{frames[-1] + 1} were requested, but it has {source.n_frames}. Use frames "
            f"0:{source.n_frames}."
        )
    if source.spacing_problem:
        raise MovieError(
            f"{where} has {source.spacing_problem}. Expected positive spacings with a unit; give them with: "
            f"{convert} --spacing {'Y,X' if source.is_2d else 'Z,Y,X'} (micrometres)"
        )
    dtype = np.dtype(source.dtype)
    if dtype.name not in SEGMENTABLE or not dtype.isnative:
        found = f"big-endian {dtype.name}" if source.dtype.startswith(">") else dtype.name
        raise MovieError(f"{where} has {found} pixels. Expected {', '.join(SEGMENTABLE)}; convert it with: {convert}")
    if not allow_missing and (missing := describe_missing(source.missing_chunks(frames))):
        raise MovieError(
            f"{where}: {missing}; a reader would see the fill value there. Expected every chunk: copy the movie again, "
            "or use --allow-missing (allow_missing=True in Python) if empty chunks were never written."
        )
