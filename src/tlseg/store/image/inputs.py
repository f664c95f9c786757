"""One movie from whatever is given: a TIFF, several, a folder of them, a microscope's own file, or an OME-Zarr.

Whatever the input, it is read box by box, and gives its size, spacing and interval before any pixel is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError
from tlseg.geometry import Box, Shape, Spacing
from tlseg.store.fs.paths import is_url, real, resolve
from tlseg.store.image.chunks import describe_missing
from tlseg.store.image.file_numbers import numbers_of
from tlseg.store.image.microscope import MicroscopeMovie
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.image.tiff import (
    Layout,
    MaybeSpacing,
    PagesError,
    TiffInfo,
    describe_tiff,
    has_tiff_header,
    is_tiff,
    natural_key,
    tiffs_in,
)
from tlseg.store.image.tiff_reader import TiffReader
from tlseg.wording import how_many

_NAME_AXES = (
    "Name its axes with --axes, --planes and --channels: ZYX is one stack, TYX a 2D movie, CYX one plane in "
    "several channels, TZYX with --planes N a movie of stacks of N planes."
)


class Input(Protocol):
    """A movie that can be read box by box."""

    name: str
    n_frames: int
    frame_shape: Shape
    dtype: np.dtype[Any]
    spacing_um: MaybeSpacing
    spacing_note: str
    translation_um: Spacing
    interval_s: float | None
    start_s: float
    channel_names: tuple[str, ...]
    is_2d: bool
    notes: tuple[str, ...]

    def read(self, frame: int, channel: int, box: Box) -> npt.NDArray[np.generic]:
        """Read the voxels (z, y, x) of a box in native byte order."""

    def close(self) -> None:
        """Close open files."""


def open_inputs(
    inputs: Sequence[str | Path],
    *,
    target: str,
    layout: Layout,
    scene: str | None,
    allow_missing: bool,
    allow_gaps: bool = False,
) -> Input:
    """Open what was given as one movie.

    Parameters
    ----------
    inputs : sequence of str or Path
        TIFF files, folders of them, one file in a microscope's own format, or one OME-Zarr.
    target : str
        The output, which must not be among the inputs.
    layout : Layout
        The axes of the pages of plain TIFFs.
    scene : str, optional
        Which movie of a microscope's file.
    allow_missing : bool
        Accept missing chunks of an OME-Zarr.
    allow_gaps : bool
        Accept files with gaps in their numbering, as if they were evenly spaced in time.

    Raises
    ------
    MovieError
        If the inputs are not a movie or do not fit together.
    """
    if not inputs:
        raise MovieError("Nothing to convert was given. Expected TIFF files, a folder of them, or an OME-Zarr movie.")
    paths, out = [resolve(path) for path in inputs], real(target)
    if out in map(real, paths):
        raise MovieError(f"{target} is both input and output. Give another output; inputs are never written to.")
    if any(real(path).startswith(f"{out}/") for path in paths):
        raise MovieError(f"{target} is the output and holds an input, which would be lost. Give another output.")
    zarrs = [path for path in paths if is_zarr(path)]
    if zarrs and len(paths) > 1:
        raise MovieError(f"{zarrs[0]} is one of {len(paths)} inputs. Expected one OME-Zarr alone, or TIFF files.")
    if zarrs:
        _refuse(f"{zarrs[0]} is an OME-Zarr", scene=scene, layout=layout, allow_gaps=allow_gaps)
        return _open_zarr(zarrs[0], allow_missing=allow_missing)
    files = _files(paths)
    _refuse(f"{files[0]} is none", allow_missing=allow_missing)
    if twice := next((path for path, times in Counter(files).items() if times > 1), None):
        raise MovieError(f"{twice} was given twice, and each file has time points of its own. Give it once.")
    others = [path for path in files if not is_tiff(path) and not has_tiff_header(path)]
    if others and len(files) > 1:
        raise MovieError(
            f"{others[0]} is one of {len(files)} inputs and no TIFF. Expected it alone, or only TIFF files."
        )
    if others:
        _refuse(f"{others[0]} is no TIFF", layout=layout, allow_gaps=allow_gaps)
        return MicroscopeMovie(others[0], scene=scene)
    _refuse(f"{files[0]} is a TIFF", scene=scene)
    note = _series(files, allow_gaps=allow_gaps)
    return _TiffMovie(_describe_all(files, layout), notes=(note,) if note else ())


class _TiffMovie:
    """Several TIFFs in a row along time; one is open at a time."""

    def __init__(self, infos: Sequence[TiffInfo], *, notes: tuple[str, ...] = ()) -> None:
        first = infos[0]
        self.notes = notes
        self._infos = infos
        self._starts = np.cumsum([0, *(i.sizes["T"] for i in infos)]).tolist()
        self._reader: TiffReader | None = None
        self.name = str(first.path)
        self.n_frames: int = self._starts[-1]
        self.frame_shape: Shape = (first.sizes["Z"], first.sizes["Y"], first.sizes["X"])
        self.dtype = first.dtype
        self.spacing_um = first.spacing_um
        self.spacing_note = ""
        self.translation_um: Spacing = (0.0, 0.0, 0.0)
        self.interval_s = first.interval_s
        self.start_s = 0.0
        self.channel_names = first.channel_names or tuple(f"channel {i}" for i in range(first.sizes["C"]))
        self.is_2d = "Z" not in first.lead and first.sizes["Z"] == 1

    def read(self, frame: int, channel: int, box: Box) -> npt.NDArray[np.generic]:
        number = int(np.searchsorted(self._starts, frame, side="right")) - 1
        info = self._infos[number]
        if self._reader is None or self._reader.info is not info:
            self.close()
            self._reader = TiffReader(info)
        return self._reader.read(frame - self._starts[number], channel, box)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class _ZarrMovie:
    """All channels of an OME-Zarr image."""

    def __init__(self, source: MovieSource) -> None:
        self._channels = [replace(source, channel=c) for c in range(len(source.channel_names))]
        self.name = source.url
        self.n_frames = source.n_frames
        self.frame_shape = source.frame_shape
        self.dtype = np.dtype(source.dtype).newbyteorder("=")
        z, y, x = source.spacing_um
        self.spacing_um: MaybeSpacing = (None, None, None) if source.spacing_problem else (z, y, x)
        self.spacing_note = source.spacing_note
        self.translation_um = (0.0, 0.0, 0.0) if source.spacing_problem else source.translation_um
        self.interval_s = source.interval_s
        self.start_s = source.start_s
        self.channel_names = source.channel_names
        self.is_2d = source.is_2d
        self.notes: tuple[str, ...] = ()

    def check_complete(self) -> None:
        if missing := describe_missing(key for c in self._channels for key in c.missing_chunks(range(self.n_frames))):
            raise MovieError(
                f"{self.name}: {missing}. Copy the movie again, or use --allow-missing if empty chunks were never written."
            )

    def read(self, frame: int, channel: int, box: Box) -> npt.NDArray[np.generic]:
        return self._channels[channel].read(frame, box)

    def close(self) -> None:
        pass


def is_zarr(path: str | Path) -> bool:
    """Whether a path is a URL or a local Zarr node."""
    local = Path(path)
    return is_url(path) or any((local / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def _open_zarr(path: str, *, allow_missing: bool) -> _ZarrMovie:
    movie = _ZarrMovie(open_source(path))
    if 0 in (movie.n_frames, *movie.frame_shape):
        raise MovieError(
            f"{movie.name} is empty: {how_many(movie.n_frames, 'frame')} of {movie.frame_shape}. Expected pixels."
        )
    if not allow_missing:
        movie.check_complete()
    return movie


def _refuse(
    but: str,
    *,
    scene: str | None = None,
    layout: Layout | None = None,
    allow_gaps: bool = False,
    allow_missing: bool = False,
) -> None:
    """Raise `MovieError` if one of these is given, because it is for inputs of another kind; `but` says of which this is."""
    pages = layout.options if layout is not None else ()
    for given, options, meant in (
        (scene is not None, ("--scene",), "is for microscopes' own files, which may hold several movies"),
        (bool(pages), pages, "would say what the pages of a plain TIFF are"),
        (allow_gaps, ("--allow-gaps",), "is for TIFFs with numbers in their names, one for each time point"),
        (allow_missing, ("--allow-missing",), "is for the chunks of an OME-Zarr"),
    ):
        if given:
            raise MovieError(f"{' '.join(options)} {meant}; {but}. Omit {'it' if len(options) == 1 else 'them'}.")


def _files(paths: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for entry in map(Path, paths):
        if entry.is_dir():
            found = tiffs_in(entry)
            if not found:
                raise MovieError(
                    f"{entry} holds no .tif or .tiff files and is not an OME-Zarr. Expected a folder of stacks."
                )
            files += found
        elif not entry.exists():
            raise MovieError(f"{entry} does not exist. Expected a TIFF file, a folder of them, or an OME-Zarr movie.")
        else:
            files.append(entry)
    return sorted(files, key=natural_key) if all(Path(p).is_file() for p in paths) else files


def _series(files: Sequence[Path], *, allow_gaps: bool) -> str:
    """Say which files these are, empty for one; gaps in the numbering are refused unless allowed."""
    if len(files) < 2:
        return ""
    numbers = numbers_of(files)
    if numbers is None:
        return f"{len(files)} files in this order: {files[0].name} to {files[-1].name}"
    if numbers.missing and not allow_gaps:
        raise MovieError(
            f"{numbers.described()}: numbers are missing: {numbers.missing_names()}. Frames must be evenly spaced in time, "
            "so all frames after a gap would have wrong times. Add these files, or convert the parts separately; if nothing "
            "is missing in time, use --allow-gaps."
        )
    gaps = f", {numbers.missing} missing in between" if numbers.missing else ""
    return numbers.described() + gaps


def _describe_all(files: Sequence[Path], layout: Layout) -> list[TiffInfo]:
    several = len(files) > 1
    try:
        infos = [describe_tiff(path, layout=layout, unknown_pages="Z" if several else "") for path in files]
    except PagesError as error:
        raise MovieError(f"{error} {_NAME_AXES}") from error
    first = infos[0]
    for info in infos:
        if info.spread and several:
            raise MovieError(f"{info.path} is part of an OME-TIFF that spans several files. Give only one of them.")
        for what, a, b in (("shape (C, Z, Y, X)", _fixed(first), _fixed(info)), ("data type", first.dtype, info.dtype)):
            if a != b:
                raise MovieError(
                    f"{info.path} has {what} {b}, but {first.path} has {a}. Expected all time points to be alike; convert "
                    "them separately, or crop or cast them first."
                )
    return infos


def _fixed(info: TiffInfo) -> tuple[int, ...]:
    return tuple(info.sizes[a] for a in "CZYX")
