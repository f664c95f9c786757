"""What is in a TIFF? Axes, spacing, interval and channels of plain, ImageJ, OME and tifffile's own TIFFs.

No pixels are read (`tiff_reader` does).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tlseg.errors import MovieError, one_line
from tlseg.store.image.logged import listening
from tlseg.store.image.metadata import Json, micrometres, seconds
from tlseg.wording import how_many

_BROKEN = re.compile(r"invalid (page|value) offset|corrupted|suspicious")
"""What tifffile logs of a file that breaks off."""

MaybeSpacing = tuple[float | None, float | None, float | None]


class PagesError(MovieError):
    """What the pages of a TIFF are is unknown, or not what was said.

    What can be said is for the caller to know, who adds it to the message.
    """


@dataclass(frozen=True, slots=True)
class Layout:
    """What the user says about the pages of plain TIFFs.

    Attributes
    ----------
    axes : str or None
        All axes, slowest first, such as "TZYX".
    planes, channels : int or None
        Planes per time point and channels, if pages are one long series.
    """

    axes: str | None = None
    planes: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        axes = self.axes
        if axes is not None and (
            not axes.endswith("YX") or len(set(axes)) != len(axes) or not set(axes) <= set("TCZYX")
        ):
            raise MovieError(f"Axes {axes!r} were given. Expected letters among T, C, Z and then YX, such as TZYX.")
        for what, count in (("planes", self.planes), ("channels", self.channels)):
            if count is not None and count < 1:
                raise MovieError(f"{count} {what} were given. Expected at least 1.")

    @property
    def options(self) -> tuple[str, ...]:
        """Options of `tlseg convert` that say the same; none if nothing is said."""
        said = {"--axes": self.axes, "--planes": self.planes, "--channels": self.channels}
        return tuple(f"{option} {value}" for option, value in said.items() if value is not None)


@dataclass(frozen=True, slots=True)
class TiffInfo:
    """Metadata of one TIFF.

    Attributes
    ----------
    path : Path
        The file.
    lead : str
        Letters among T, C, Z of its planes, slowest first.
    sizes : dict of str to int
        Length of each of T, C, Z, Y, X; 1 where absent.
    dtype : numpy.dtype
        Data type in native byte order.
    spacing_um : (z, y, x) of float or None
        Micrometres; None if the file does not say.
    interval_s : float or None
        Seconds between frames.
    channel_names : tuple of str
        Empty if the file does not say.
    spread : bool
        Whether its planes lie in other files too (a multi-file OME-TIFF).
    """

    path: Path
    lead: str
    sizes: dict[str, int]
    dtype: np.dtype[Any]
    spacing_um: MaybeSpacing
    interval_s: float | None
    channel_names: tuple[str, ...]
    spread: bool


def describe_tiff(path: Path, *, layout: Layout, unknown_pages: str) -> TiffInfo:
    """Read the metadata of a TIFF, but no pixels.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout
        What the user says about its pages.
    unknown_pages : str
        Axes assumed for pages of unknown meaning, slowest first; as many of the last ones as the pages have. If they have
        more, or none is assumed, they are refused.

    Raises
    ------
    PagesError
        If the meaning of its pages is unknown, or not what `layout` says.
    MovieError
        If it is not a TIFF of grey values.
    """
    # A file whose page list breaks off is read as a shorter one, which is only logged.
    with listening("tifffile") as complaints, open_tiff(path) as tif:
        series = only_series(tif, path)
        broken = [line for line in complaints if _BROKEN.search(line)]
        if broken:
            raise MovieError(f"{path} is damaged or cut short ({broken[0][:160]}). Copy it again.")
        lead, lead_sizes = _lead(series, path, layout, unknown_pages)
        spacing, interval, names = _facts(tif)
        y, x = series.shape[series.axes.index("Y")], series.shape[series.axes.index("X")]
        sizes = {"T": 1, "C": 1, "Z": 1} | dict(zip(lead, lead_sizes, strict=True)) | {"Y": y, "X": x}
        return TiffInfo(
            path=path,
            lead=lead,
            sizes=sizes,
            dtype=np.dtype(series.dtype).newbyteorder("="),
            spacing_um=spacing,
            interval_s=interval,
            channel_names=names if len(names) == sizes["C"] else (),
            spread=bool(getattr(series, "is_multifile", False)),
        )


def is_tiff(path: Path) -> bool:
    """Whether a path has the name of a TIFF; hidden files do not count."""
    return path.suffix.lower() in (".tif", ".tiff") and not path.name.startswith(".")


def has_tiff_header(path: Path) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does, whatever its name; microscopes' formats may be TIFFs, too."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")


def tiffs_in(folder: Path) -> list[Path]:
    """TIFF files of a folder in natural order; none if there is no such folder."""
    files = folder.iterdir() if folder.is_dir() else []
    return sorted((file for file in files if is_tiff(file) and file.is_file()), key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts t2 before t10."""
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a file; raise `MovieError` if it is not a TIFF."""
    try:
        return tifffile.TiffFile(path)
    except FileNotFoundError as error:
        raise MovieError(f"{path} does not exist. Expected a TIFF file; check the path.") from error
    except Exception as error:  # a damaged header fails in many ways
        raise MovieError(
            f"{path} cannot be opened as TIFF ({one_line(error)}). It is damaged or not a TIFF."
        ) from error


def only_series(tif: tifffile.TiffFile, path: Path) -> Any:
    """Return the one image of a file; raise `MovieError` if it holds none or several."""
    try:
        series = tif.series
    except Exception as error:
        raise MovieError(
            f"{path}: its pages cannot be listed ({one_line(error)}). It is damaged or cut short."
        ) from error
    if not series or 0 in series[0].shape:
        raise MovieError(f"{path} holds no image. It is empty or cut short; copy it again.")
    if len(series) > 1:
        shapes = ", ".join(str(s.shape) for s in series[:4])
        raise MovieError(
            f"{path} holds {len(series)} images of shapes {shapes}. Expected one; save each to its own file."
        )
    return series[0]


def _lead(series: Any, path: Path, layout: Layout, unknown_pages: str) -> tuple[str, list[int]]:
    axes, shape = str(series.axes), [int(n) for n in series.shape]
    if axes[-2:] != "YX":
        raise MovieError(
            f"{path} is a colour image (axes {axes}, shape {series.shape}). Expected grey values; split channels."
        )
    lead, sizes = axes[:-2], shape[:-2]
    if layout.options:
        return _stated(path, layout, sizes)
    if set(lead) <= set("TCZ"):
        return lead, sizes
    # tifffile marks the planes of stacks of 3 or 4 as colours unless told otherwise; a lone S may be colours indeed.
    if len(lead) <= len(unknown_pages) and lead != "S":
        return unknown_pages[-len(lead) :], sizes
    says = "marks its pages as colours" if "S" in lead else "does not say what its pages are"
    raise PagesError(f"{path} {says} (axes {axes}, shape {series.shape}).")


def _stated(path: Path, layout: Layout, sizes: list[int]) -> tuple[str, list[int]]:
    axes = layout.axes or ("TZYX" if layout.channels is None else "TZCYX" if layout.planes else "TCYX")
    stated = axes[:-2]
    for axis, option, count in (("Z", "--planes", layout.planes), ("C", "--channels", layout.channels)):
        if count is not None and count > 1 and axis not in stated:
            raise MovieError(
                f"{path}: axes {axes} have no {axis}, but {option} {count} was given. Add {axis} to --axes, or omit "
                f"{option}."
            )
    counted = layout.planes or layout.channels
    if len(stated) == len(sizes) and not counted:
        return stated, sizes
    pages = math.prod(sizes)
    if not counted and sum(n > 1 for n in sizes) > len(stated):
        raise MovieError(
            f"{path} has {' x '.join(map(str, sizes))} pages, which are not one series along {stated or 'no axis'}. "
            f"Expected axes with a letter for each of these, not {axes}."
        )
    known = {a: n for a, n in (("Z", layout.planes), ("C", layout.channels)) if n is not None and a in stated}
    open_axes = [a for a in stated if a not in known]
    rest, odd = divmod(pages, math.prod(known.values()))
    if odd or (rest != 1 and len(open_axes) != 1):
        lengths = f"with {', '.join(f'{n} along {a}' for a, n in known.items())}" if known else "of unknown lengths"
        raise PagesError(f"{path} has {how_many(pages, 'page')}, which do not fill axes {axes} {lengths}.")
    return stated, [known.get(a, rest) for a in stated]


def _facts(tif: tifffile.TiffFile) -> tuple[MaybeSpacing, float | None, tuple[str, ...]]:
    if tif.is_ome and tif.ome_metadata:
        return _ome_facts(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata:
        return _resolution_facts(tif, tif.imagej_metadata)
    if tif.is_shaped and tif.shaped_metadata:
        return _resolution_facts(tif, tif.shaped_metadata[0])
    return (None, None, None), None, ()


def _ome_facts(xml: str) -> tuple[MaybeSpacing, float | None, tuple[str, ...]]:
    try:
        image = _first(_first(tifffile.xml2dict(xml).get("OME")).get("Image"))
    except Exception:  # broken XML says nothing, which is what is returned
        return (None, None, None), None, ()
    pixels = _first(image.get("Pixels"))
    z, y, x = (
        _times(pixels.get(f"PhysicalSize{a}"), micrometres(str(pixels.get(f"PhysicalSize{a}Unit", "µm"))))
        for a in "ZYX"
    )
    interval = _times(pixels.get("TimeIncrement"), seconds(str(pixels.get("TimeIncrementUnit", "s"))))
    channels = pixels.get("Channel") or []
    channels = channels if isinstance(channels, list) else [channels]
    names = tuple(str(c.get("Name") or f"channel {i}") for i, c in enumerate(channels) if isinstance(c, Mapping))
    return (z, y, x), interval, names


def _resolution_facts(
    tif: tifffile.TiffFile, said: Mapping[str, Any]
) -> tuple[MaybeSpacing, float | None, tuple[str, ...]]:
    unit = micrometres(str(said.get("unit") or ""))
    y, x = (_times(_pixel_size(tif, tag), unit) for tag in ("YResolution", "XResolution"))
    interval = _times(said.get("finterval"), seconds(str(said.get("tunit") or "s")))
    return (_times(said.get("spacing"), unit), y, x), interval, ()


def _pixel_size(tif: tifffile.TiffFile, tag: str) -> float | None:
    found = tif.pages.first.tags.get(tag)
    if found is None or not isinstance(found.value, tuple) or not all(found.value):
        return None
    pixels, units = found.value
    return float(units / pixels)


def _times(value: Any, factor: float | None) -> float | None:
    if factor is None or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(f"{value * factor:.12g}")  # 0.1 mm is 100 um, not 100.00000000000001


def _first(value: Any) -> Json:
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, dict) else {}
