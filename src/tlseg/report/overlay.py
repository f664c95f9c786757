"""Do the outlines sit on the nuclei? Pictures for a person: views of whole frames with outlines, scale bar and time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from tlseg.geometry import Spacing
from tlseg.report.pixels import RGB, Window, front, grey_picture, grey_window, indexed, label_colors, outline
from tlseg.store.fs.atomic import write_atomically
from tlseg.wording import how_many

_GAP = 6  # pixels between panels
_PAPER = (24, 24, 28)
_INK = (235, 235, 235)
_MAKER = "Software"
"""Keyword of the PNG standard for what created a picture."""


def overlay_slice(
    image: NDArray[np.generic],
    labels: NDArray[np.integer] | None = None,
    *,
    window: Window | None = None,
    zoom: int = 1,
    aspect: float = 1.0,
) -> RGB:
    """Grey picture of a plane with the outline of each label in its colour, one pixel wide and inside the label.

    Parameters
    ----------
    image : ndarray, (y, x)
        Grey values.
    labels : ndarray of int, (y, x), optional
        0 is background; without labels the picture stays grey.
    window : tuple of float, optional
        Grey values shown black and white; by default from the image.
    zoom : int
        Pixels per voxel along x.
    aspect : float
        Size of a voxel along y over its size along x.

    Returns
    -------
    ndarray of uint8, (y * zoom * aspect, x * zoom, 3)
    """
    size = (max(1, round(image.shape[0] * zoom * aspect)), image.shape[1] * zoom)
    rgb = np.repeat(grey_picture(image, size, window=window)[..., None], 3, axis=2)
    if labels is None or not labels.any():
        return rgb
    numbers, index = indexed(labels, size)
    colors = label_colors(numbers)
    edge = outline(index, 1) & (numbers[index] != 0)
    rgb[edge] = colors[index[edge]]
    return rgb


def overlay_montage(
    image: NDArray[np.generic],
    labels: NDArray[np.integer] | None = None,
    *,
    spacing_um: Spacing,
    planes: int = 6,
) -> RGB:
    """Slices along z, each without and with outlines below it.

    Parameters
    ----------
    image : ndarray, (z, y, x)
        Grey values.
    labels : ndarray of int, (z, y, x), optional
    spacing_um : Spacing
        Voxel size along (z, y, x), micrometres.
    planes : int
        How many slices, evenly spread.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
    """
    image, labels, spacing_um = _shrink(image, labels, spacing_um)
    sz, sy, sx = spacing_um
    window, zoom = grey_window(image), _zoom(image.shape[1:])
    nz = image.shape[0]
    chosen = sorted({int((i + 0.5) * nz / planes) for i in range(min(planes, nz))})
    plain, drawn = [], []
    for i, z in enumerate(chosen):
        text = [(f"z = {z * sz:.0f} um", "corner")]
        grey = overlay_slice(image[z], window=window, zoom=zoom, aspect=sy / sx)
        plain.append(_annotate(grey, text, um_per_pixel=sx / zoom if i == 0 else None))
        if labels is not None:
            drawn.append(overlay_slice(image[z], labels[z], window=window, zoom=zoom, aspect=sy / sx))
    return _rows([plain, drawn] if drawn else [plain])


def overlay_movie(
    frames: Iterable[tuple[int, NDArray[np.generic], NDArray[np.integer] | None]],
    *,
    spacing_um: Spacing,
    interval_s: float | None = None,
    columns: int = 5,
) -> RGB:
    """Several time points side by side, as projections along z with outlines.

    Parameters
    ----------
    frames : iterable of (t, image, labels)
        Frame number, grey values (z, y, x), labels (z, y, x) or None. Read one at a time.
    spacing_um : Spacing
        Voxel size along (z, y, x), micrometres.
    interval_s : float, optional
        Seconds between frames, for the time stamps.
    columns : int
        Pictures in a row.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
        Each frame has its own grey window, because brightness falls as nuclei divide.
    """
    pictures: list[RGB] = []
    for t, whole, whole_labels in frames:
        image, labels, (_, sy, sx) = _shrink(whole, whole_labels, spacing_um)
        zoom = _zoom(image.shape[1:])
        nearest = None if labels is None else front(labels[::-1])
        xy = overlay_slice(image.max(axis=0), nearest, zoom=zoom, aspect=sy / sx)
        count = "" if labels is None else how_many(int(np.count_nonzero(np.unique(labels))), "nucleus", "nuclei")
        text = [(time_stamp(t, interval_s=interval_s), "top"), (count, "corner")]
        pictures.append(_annotate(xy, text, um_per_pixel=None if pictures else sx / zoom))
    return _rows([pictures[i : i + columns] for i in range(0, len(pictures), columns)])


def time_stamp(t: int, *, interval_s: float | None = None, start_s: float = 0.0) -> str:
    """Time of a frame, such as `3 h 20 min`; its number if the interval is unknown. Frame 0 is at `start_s`."""
    if interval_s is None:
        return f"t = {t}"
    seconds = round(start_s + t * interval_s)
    if interval_s < 60:
        return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def save_png(path: str | Path, rgb: RGB, *, made_by: str = "tlseg") -> None:
    """Write a picture (y, x, 3) as PNG that says what made it (`maker_of`), whole or not at all."""
    said, data = PngInfo(), BytesIO()
    said.add_text(_MAKER, made_by)
    Image.fromarray(rgb).save(data, format="PNG", optimize=True, pnginfo=said)
    write_atomically(Path(path), data.getvalue())


def maker_of(path: str | Path) -> str | None:
    """What made a PNG, as `save_png` wrote it; None if not recorded."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            maker = picture.info.get(_MAKER)
    except (OSError, ValueError, SyntaxError):  # a folder, another kind of file, or a damaged one
        return None
    return str(maker) if maker is not None else None


def _shrink(
    image: NDArray[np.generic], labels: NDArray[np.integer] | None, spacing_um: Spacing
) -> tuple[NDArray[np.generic], NDArray[np.integer] | None, Spacing]:
    """Skip voxels of frames wider than a screen."""
    z, y, x = (max(1, -(-n // 1200)) for n in image.shape)
    cut = (slice(None, None, z), slice(None, None, y), slice(None, None, x))
    spacing = (spacing_um[0] * z, spacing_um[1] * y, spacing_um[2] * x)
    return image[cut], None if labels is None else labels[cut], spacing


def _zoom(shape: tuple[int, ...]) -> int:
    """Pixels per voxel of a panel about 300 wide."""
    return min(12, max(1, round(300 / max(shape))))


def _annotate(rgb: RGB, texts: list[tuple[str, str]], *, um_per_pixel: float | None = None) -> RGB:
    """Text at the top or in the lower left corner, and a scale bar in the lower right one."""
    picture = Image.fromarray(rgb)
    draw = ImageDraw.Draw(picture)
    height, width = rgb.shape[:2]
    large, small = max(12, min(22, width // 22)), max(10, min(16, width // 30))
    for text, place in texts:
        if text and place == "top":
            _write(draw, (8, 6), text, large, "la")
        elif text:
            _write(draw, (8, height - 6), text, small, "ld")
    if um_per_pixel is not None:
        length = round_length(width * um_per_pixel / 4)
        bar, thick = length / um_per_pixel, max(3, height // 130)
        right, bottom = width - 12, height - 12
        draw.rectangle((right - bar - 1, bottom - thick - 1, right + 1, bottom + 1), fill=(0, 0, 0))
        draw.rectangle((right - bar, bottom - thick, right, bottom), fill=_INK)
        _write(draw, (right - bar / 2, bottom - thick - 4), f"{length:g} um", small, "md")
    return np.asarray(picture)


def _write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, anchor: str) -> None:
    font = ImageFont.load_default(size)
    draw.text(at, text, fill=_INK, font=font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def round_length(length: float) -> float:
    """Largest of 1, 2, 5, 10, 20 ... that does not exceed `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return power * max(step for step in (1.0, 2.0, 5.0) if step * power <= length)


def _rows(rows: list[list[RGB]]) -> RGB:
    """Panels laid out in rows on dark paper."""
    height = sum(max(p.shape[0] for p in row) for row in rows) + _GAP * (len(rows) - 1)
    width = max(sum(p.shape[1] for p in row) + _GAP * (len(row) - 1) for row in rows)
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    top = 0
    for row in rows:
        left = 0
        for panel in row:
            paper[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
            left += panel.shape[1] + _GAP
        top += max(p.shape[0] for p in row) + _GAP
    return paper
