"""Find the labels in a TIFF or in a folder of TIFFs: one per frame, or as the Cell Tracking Challenge names them."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from tlseg.errors import LabelError, MovieError
from tlseg.geometry import Box, Shape
from tlseg.store.image.file_numbers import numbers_of
from tlseg.store.image.tiff import Layout, PagesError, TiffInfo, describe_tiff, tiffs_in
from tlseg.store.image.tiff_reader import TiffReader
from tlseg.store.labels.label_movie import TRACK_FILES, LabelMovie, Labels

_CTC_NAME = re.compile(r"(?:man_track|man_seg|mask)_?(\d+)(?:_(\d+))?\.tiff?", re.IGNORECASE)


def open_tiff_labels(path: Path, *, axes: str | None = None) -> LabelMovie:
    """Open one TIFF; `axes` names its axes, slowest first, instead of what it says."""
    info = _describe(path, axes)
    if info.sizes["C"] != 1:
        raise LabelError(f"{path} has {info.sizes['C']} channels; a label image has one. Save that channel alone.")
    shape = (info.sizes["Z"], info.sizes["Y"], info.sizes["X"])
    z, y, x = info.spacing_um

    def read(frame: int, box: Box) -> Labels:
        with closing(TiffReader(info)) as reader:
            return reader.read(frame, 0, box)

    return LabelMovie(
        source=str(path),
        frames=tuple(range(info.sizes["T"])),
        frame_shape=lambda _frame: shape,
        read_box=read,
        spacing_um=None if y is None or x is None or (z is None and shape[0] > 1) else (z or 1.0, y, x),
        files=numbers_of([path]) if info.sizes["T"] == 1 else None,
    )


def _describe(path: Path, axes: str | None) -> TiffInfo:
    """Describe a TIFF; pages that neither it nor `axes` names are z, and where they have two axes, t and z."""
    try:
        return describe_tiff(path, layout=Layout(axes and axes.upper()), unknown_pages="TZ")
    except PagesError as error:
        raise LabelError(
            f"{error} Expected one label per voxel, along known axes: save it as ImageJ TIFF or OME-TIFF, which names them; "
            "those of a single file may be given with --axes, such as ZYX or TYX."
        ) from error
    except MovieError as error:
        raise LabelError(str(error)) from error


def open_folder_labels(folder: Path) -> LabelMovie:
    """Open a folder of TIFFs, one per frame, or that of a Cell Tracking Challenge."""
    files = tiffs_in(folder)
    if not files:
        if (folder / "TRA").is_dir() or (folder / "SEG").is_dir():
            raise LabelError(
                f"{folder} holds several truths. Give its TRA folder to compare tracks, or its SEG folder to compare "
                "outlines."
            )
        raise LabelError(f"{folder} holds no TIFF images and is not a Zarr group. Give a folder of label images.")
    named = [(_CTC_NAME.fullmatch(f.name), f) for f in files]
    if any(match for match, _ in named):
        return _open_ctc(folder, [(int(m[1]), m[2], f) for m, f in named if m])
    numbers = numbers_of(files)
    frames = range(len(files)) if numbers is None else numbers.frames
    return replace(_movie_of_files(folder, dict(zip(frames, files, strict=True)), numbered=False), files=numbers)


def _open_ctc(folder: Path, found: list[tuple[int, str | None, Path]]) -> LabelMovie:
    track_file = next((folder / n for n in TRACK_FILES if (folder / n).is_file()), None)
    whole = {t: f for t, z, f in found if z is None}
    if len(whole) < sum(z is None for _, z, _ in found):
        raise LabelError(f"{folder} holds two images of one frame. Give a folder with one kind of image.")
    if len(whole) == len(found):
        return _movie_of_files(folder, dict(sorted(whole.items())), numbered=True, track_file=track_file)
    if whole:
        raise LabelError(
            f"{folder} mixes whole frames and single planes (`_TTT_ZZZ.tif`). Give a folder with one of them."
        )
    return _movie_of_planes(folder, {(t, int(z)): f for t, z, f in found if z is not None})


def _movie_of_files(
    folder: Path, files: dict[int, Path], *, numbered: bool, track_file: Path | None = None
) -> LabelMovie:
    @lru_cache(maxsize=1)
    def movie(frame: int) -> LabelMovie:
        opened = open_tiff_labels(files[frame])
        if len(opened.frames) != 1:
            raise LabelError(
                f"{opened.source} has {len(opened.frames)} frames; in a folder each file is one. Give the file itself."
            )
        return opened

    return LabelMovie(
        source=str(folder),
        frames=tuple(files),
        frame_shape=lambda frame: movie(frame).shape,
        read_box=lambda frame, box: movie(frame).read(0, box),
        spacing_um=movie(next(iter(files))).spacing_um,
        numbered=numbered,
        track_file=track_file,
    )


def _movie_of_planes(folder: Path, files: dict[tuple[int, int], Path]) -> LabelMovie:
    planes = {t: tuple(sorted(z for u, z in files if u == t)) for t in sorted({t for t, _ in files})}
    depth = max(z for _, z in files) + 1

    def plane(frame: int, z: int) -> LabelMovie:
        return open_tiff_labels(files[frame, z])

    def shape(frame: int) -> Shape:
        return (depth, *plane(frame, planes[frame][0]).shape[1:])

    def read(frame: int, box: Box) -> Labels:
        flat = Box((0, *box.start[1:]), (1, *box.stop[1:]))
        return np.concatenate([plane(frame, z).read(0, flat) for z in range(box.start[0], box.stop[0])])

    return LabelMovie(str(folder), tuple(planes), shape, read, numbered=True, planes=planes)
