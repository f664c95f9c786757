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
from tlseg.report.pixels import RGB, Window, grey_picture, grey_window, indexed, label_colors, outline
from tlseg.store.fs.atomic import write_atomically

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
    fill: float = 0.0,
    zoom: int = 1,
    aspect: float = 1.0,
    line: int = 1,
) -> RGB:
    """Grey picture of a plane with the outline of each label in its colour.

    Parameters
    ----------
    image : ndarray, (y, x)
        Grey values.
    labels : ndarray of int, (y, x), optional
        0 is background; without labels the picture stays grey.
    window : tuple of float, optional
        Grey values shown black and white; by default from the image.
    fill : float
        Opacity of the colour inside the outlines, 0 to 1.
    zoom : int
        Pixels per voxel along x.
    aspect : float
        Size of a voxel along y over its size along x.
    line : int
        Width of the outlines, pixels; they lie inside their label.

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
    inside = numbers[index] != 0
    if fill > 0:
        rgb[inside] = ((1 - fill) * rgb[inside] + fill * colors[index[inside]]).astype(np.uint8)
    edge = outline(index, line) & inside
    rgb[edge] = colors[index[edge]]
    return rgb


def overlay_frame(
    image: NDArray[np.generic],
    labels: NDArray[np.integer] | None = None,
    *,
    spacing_um: Spacing,
    window: Window | None = None,
    fill: float = 0.0,
    caption: str = "",
    zoom: int | None = None,
) -> RGB:
    """Three views of a frame in true proportions: projection along z, and the middle slices xz and yz.

    Parameters
    ----------
    image : ndarray, (z, y, x)
        Grey values.
    labels : ndarray of int, (z, y, x), optional
        In the projection the nucleus nearest to the last plane is outlined.
    spacing_um : Spacing
        Voxel size along (z, y, x), micrometres.
    window, fill, zoom
        See `overlay_slice`; `zoom` is chosen to fill about 500 pixels.
    caption : str
        Text in the corner, such as the time.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
    """
    image, labels, spacing_um = _shrink(image, labels, spacing_um)
    sz, sy, sx = spacing_um
    zoom = zoom or _zoom(image.shape[1:])
    line = 2 if zoom >= 4 else 1
    top = image.max(axis=0)
    xy = overlay_slice(top, _nearest(labels), window=window, fill=fill, zoom=zoom, aspect=sy / sx, line=line)
    xy = _annotate(xy, [(caption, "top"), ("max projection", "corner")], um_per_pixel=sx / zoom)
    if image.shape[0] == 1:
        return xy
    window = window or grey_window(image)
    y, x = (n // 2 for n in image.shape[1:])
    side = None if labels is None else labels[:, y]
    xz = overlay_slice(image[:, y], side, window=window, fill=fill, zoom=zoom, aspect=sz / sx, line=line)
    zoom_z = max(1, round(zoom * sz / sx))
    side, aspect = None if labels is None else labels[:, :, x].T, sy / sx * zoom / zoom_z
    yz = overlay_slice(image[:, :, x].T, side, window=window, fill=fill, zoom=zoom_z, aspect=aspect, line=line)
    corner = _fit(overlay_slice(top, zoom=zoom, aspect=sy / sx), (xz.shape[0], yz.shape[1]))
    count = "" if labels is None else f", {np.count_nonzero(np.unique(labels))} nuclei"
    return _rows(
        [
            [xy, _annotate(yz, [("yz, middle", "corner")])],
            [_annotate(xz, [("xz, middle", "corner")]), _annotate(corner, [(f"max projection{count}", "corner")])],
        ]
    )


def overlay_montage(
    image: NDArray[np.generic],
    labels: NDArray[np.integer] | None = None,
    *,
    spacing_um: Spacing,
    planes: int = 6,
    window: Window | None = None,
    fill: float = 0.0,
    caption: str = "",
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
    window, fill, caption
        See `overlay_frame`.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
    """
    image, labels, spacing_um = _shrink(image, labels, spacing_um)
    sz, sy, sx = spacing_um
    window = window or grey_window(image)
    zoom = _zoom(image.shape[1:], wanted=300)
    nz = image.shape[0]
    chosen = sorted({int((i + 0.5) * nz / planes) for i in range(min(planes, nz))})
    plain, drawn = [], []
    for i, z in enumerate(chosen):
        text = [(caption if i == 0 else "", "top"), (f"z = {z * sz:.0f} um", "corner")]
        grey = overlay_slice(image[z], window=window, zoom=zoom, aspect=sy / sx)
        plain.append(_annotate(grey, text, um_per_pixel=sx / zoom if i == 0 else None))
        if labels is not None:
            drawn.append(overlay_slice(image[z], labels[z], window=window, fill=fill, zoom=zoom, aspect=sy / sx))
    return _rows([plain, drawn] if drawn else [plain])


def overlay_movie(
    frames: Iterable[tuple[int, NDArray[np.generic], NDArray[np.integer] | None]],
    *,
    spacing_um: Spacing,
    interval_s: float | None = None,
    fill: float = 0.0,
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
    fill : float
        See `overlay_slice`.
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
        zoom = _zoom(image.shape[1:], wanted=300)
        xy = overlay_slice(image.max(axis=0), _nearest(labels), fill=fill, zoom=zoom, aspect=sy / sx)
        count = "" if labels is None else f"{np.count_nonzero(np.unique(labels))} nuclei"
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


def _nearest(labels: NDArray[np.integer] | None) -> NDArray[np.integer] | None:
    """Label met first along z from the last plane, (y, x)."""
    if labels is None:
        return None
    first = np.argmax(labels[::-1] != 0, axis=0)
    seen: NDArray[np.integer] = np.take_along_axis(labels[::-1], first[None], axis=0)[0]
    return seen


def _shrink(
    image: NDArray[np.generic], labels: NDArray[np.integer] | None, spacing_um: Spacing
) -> tuple[NDArray[np.generic], NDArray[np.integer] | None, Spacing]:
    """Skip voxels of frames wider than a screen."""
    z, y, x = (max(1, -(-n // 1200)) for n in image.shape)
    cut = (slice(None, None, z), slice(None, None, y), slice(None, None, x))
    spacing = (spacing_um[0] * z, spacing_um[1] * y, spacing_um[2] * x)
    return image[cut], None if labels is None else labels[cut], spacing


def _zoom(shape: tuple[int, ...], *, wanted: int = 500) -> int:
    return min(12, max(1, round(wanted / max(shape))))


def _fit(rgb: RGB, shape: tuple[int, int]) -> RGB:
    """Shrink or enlarge a picture into the middle of dark paper of `shape` (y, x)."""
    scale = min(n / m for n, m in zip(shape, rgb.shape[:2], strict=True))
    height, width = (max(1, int(m * scale)) for m in rgb.shape[:2])
    paper = np.full((*shape, 3), _PAPER, np.uint8)
    y, x = (shape[0] - height) // 2, (shape[1] - width) // 2
    scaled = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    paper[y : y + height, x : x + width] = np.asarray(scaled)
    return paper


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
