"""Read the axes and spacing of a label TIFF, and its frames one at a time."""

from __future__ import annotations

import re
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from tlseg.errors import LabelError
from tlseg.geometry import Spacing

_UM = {
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "m": 1e6,
}


class _OnDemand:
    """Array of a compressed TIFF, sliced like numpy: decodes the frame that is asked for, and keeps the last one."""

    def __init__(self, path: Path, shape: tuple[int, ...], pages_per_frame: int) -> None:
        self.shape = shape
        self._path, self._step = path, pages_per_frame
        self._frame = lru_cache(maxsize=1)(self._decode)

    def __getitem__(self, index: tuple[Any, ...]) -> npt.NDArray[np.generic]:
        part: npt.NDArray[np.generic] = self._frame(index[0])[index[1:]] if self._step else self._frame(None)[index]
        return part

    def _decode(self, frame: int | None) -> npt.NDArray[np.generic]:
        pages = None if frame is None else slice(frame * self._step, (frame + 1) * self._step)
        with tifffile.TiffFile(self._path) as tif:
            pixels = tif.asarray(key=pages, series=0)
        return np.asarray(pixels).reshape(self.shape if frame is None else self.shape[1:])


def lazy_tiff(path: Path) -> tuple[Any, str, Spacing | None]:
    """Open the first series of a TIFF without reading its pixels.

    Parameters
    ----------
    path : Path

    Returns
    -------
    array : array-like
        Sliced like numpy; axes of length 1 that labels do not have are gone.
    axes : str
        One letter of t, c, z, y, x for each axis.
    spacing_um : (z, y, x) float or None
        Micrometres per voxel, from OME or ImageJ metadata.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            axes, shape = _axes(series.axes, series.shape, path)
            mapped, pages = series.dataoffset is not None, len(series.pages)
            spacing = _spacing(tif)
    except (tifffile.TiffFileError, IndexError, OSError) as error:
        raise LabelError(f"{path} cannot be read as a TIFF image ({error}). Check that the file is whole.") from error
    if mapped:
        return np.asarray(tifffile.memmap(path, mode="r")).reshape(shape), axes, spacing
    by_frame = axes[0] == "t" and shape[0] > 1 and pages % shape[0] == 0 and pages == prod(shape[:-2])
    return _OnDemand(path, shape, pages // shape[0] if by_frame else 0), axes, spacing


def _axes(letters: str, shape: tuple[int, ...], path: Path) -> tuple[str, tuple[int, ...]]:
    """Name the axes: what a TIFF leaves unnamed is z, or t and z."""
    letters = letters.lower().replace("s", "c")
    kept = [k for k, c in enumerate(letters) if c in "tzyx" or shape[k] > 1]
    names, sizes = [letters[k] for k in kept], tuple(int(shape[k]) for k in kept)
    unnamed = [k for k, c in enumerate(names) if c not in "tczyx"]
    free = [c for c in "tz" if c not in names]
    for k, letter in zip(unnamed, free[len(free) - len(unnamed) :], strict=False):
        names[k] = letter
    if "y" not in names or len(unnamed) > len(free):
        raise LabelError(
            f"{path} has axes {letters.upper()} of sizes {shape}; expected (y, x), (z, y, x) or (t, z, y, x). "
            "Save labels as one channel."
        )
    return "".join(names), sizes


def _spacing(tif: tifffile.TiffFile) -> Spacing | None:
    try:
        found = _ome_spacing(tif.ome_metadata) if tif.is_ome and tif.ome_metadata else _imagej_spacing(tif)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return found if found and all(0 < s < float("inf") for s in found) else None


def _ome_spacing(xml: str) -> Spacing | None:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    if pixels is None:
        return None
    values = dict(re.findall(r'(\w+)="([^"]*)"', pixels[0]))
    if "PhysicalSizeX" not in values:
        return None
    sizes = [
        float(values.get(f"PhysicalSize{axis}", 1.0)) * _UM[values.get(f"PhysicalSize{axis}Unit", "µm")]
        for axis in "ZYX"
    ]
    return (sizes[0], sizes[1], sizes[2])


def _imagej_spacing(tif: tifffile.TiffFile) -> Spacing | None:
    meta, tags = tif.imagej_metadata, tif.pages.first.tags
    if not meta or "unit" not in meta or "XResolution" not in tags:
        return None
    unit = _UM[str(meta["unit"]).replace("\\u00B5", "µ").lower()]
    y, x = (tags[f"{axis}Resolution"].value for axis in "YX")
    return (float(meta.get("spacing", 1.0)) * unit, y[1] / y[0] * unit, x[1] / x[0] * unit)
