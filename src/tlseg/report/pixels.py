"""Grey values as tones, labels as colours and outlines: what every picture of nuclei is made of.

A label has the same colour in every slice and every frame, so a nucleus can be followed by eye.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB = NDArray[np.uint8]
Window = tuple[float, float]

_GAMMA = 0.75
_LEAST_LUMA = 0.5


def label_colors(labels: NDArray[np.integer]) -> RGB:
    """Colour of each label number.

    Parameters
    ----------
    labels : ndarray of int
        Label numbers, any shape.

    Returns
    -------
    ndarray of uint8, (..., 3)
        Hues step by the golden ratio, so that neighbouring numbers look different; 0 is black.
    """
    number = np.asarray(labels).astype(np.float64)
    hue = number * 0.6180339887498949 % 1.0
    light = 0.78 + 0.22 * (number * 0.7548776662466927 % 1.0)
    strong = 0.55 + 0.4 * (number * 0.5698402909980532 % 1.0)
    ramp = np.abs((hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    rgb = light[..., None] * (1 - strong[..., None] * (1 - np.clip(ramp, 0, 1)))
    luma = rgb @ np.array([0.3, 0.59, 0.11])
    # Pure blue vanishes on black: mix in white until every colour is as bright as a mid grey.
    white = np.clip((_LEAST_LUMA - luma) / (1 - luma), 0, 1)[..., None]
    rgb = rgb + white * (1 - rgb)
    rgb[number == 0] = 0
    colors: RGB = np.rint(rgb * 255).astype(np.uint8)
    return colors


def css_colors(labels: NDArray[np.integer]) -> list[str]:
    """Colour of each of some label numbers (n,), as in CSS."""
    return [f"#{bytes(color).hex()}" for color in label_colors(labels)]


def hex_color(label: int) -> str:
    """Colour of one label number, as in CSS."""
    return css_colors(np.array([label]))[0]


def front(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """First label along the first axis of a stack (n, height, width), 0 where there is none."""
    at = np.argmax(labels != 0, axis=0)
    seen: NDArray[np.integer] = np.take_along_axis(labels, at[None], axis=0)[0]
    return seen


def grey_window(image: NDArray[np.generic]) -> Window:
    """Grey values shown black and white: the 1st and the 99.8th percentile of (a sample of) an image of any shape.

    NaN and infinite values are left out; without others it is 0 to 1.
    """
    sample = image[tuple(slice(None, None, max(1, n // 128)) for n in image.shape)].astype(np.float64)
    known = sample[np.isfinite(sample)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, (1, 99.8)))
    return low, max(high, low + 1e-6)


def grey_picture(
    image: NDArray[np.generic], size: tuple[int, int], *, window: Window | None = None
) -> NDArray[np.uint8]:
    """Plane of grey values scaled to a picture, mid tones a little brighter; NaN is black.

    Parameters
    ----------
    image : ndarray, (y, x)
        Grey values.
    size : (height, width)
        Pixels of the picture.
    window : tuple of float, optional
        Grey values shown black and white; by default from the image.

    Returns
    -------
    ndarray of uint8, (height, width)
    """
    low, high = window or grey_window(image)
    known = np.nan_to_num(image.astype(np.float32), nan=low, posinf=high, neginf=low)
    scaled = Image.fromarray(known).resize(size[::-1], Image.Resampling.BILINEAR)
    tone = np.clip((np.asarray(scaled) - low) / (high - low), 0, 1) ** _GAMMA
    grey: NDArray[np.uint8] = (tone * 255).astype(np.uint8)
    return grey


def outline_picture(labels: NDArray[np.integer], size: tuple[int, int], *, line: int = 1, fill: float = 0.0) -> RGB:
    """Outlines alone, to be laid over a grey picture of the same size.

    Parameters
    ----------
    labels : ndarray of int, (y, x)
        0 is background.
    size : (height, width)
        Pixels of the picture.
    line, fill
        Width of the lines in pixels, and opacity inside them, 0 to 1.

    Returns
    -------
    ndarray of uint8, (height, width, 4)
        Red, green, blue, opacity; clear outside the labels.
    """
    numbers, index = indexed(labels, size)
    inside = numbers[index] != 0
    edge = outline(index, line) & inside
    picture = np.zeros((*size, 4), np.uint8)
    picture[..., :3] = label_colors(numbers)[index]
    picture[inside, 3] = round(255 * fill)
    picture[edge, 3] = 255
    picture[picture[..., 3] == 0] = 0
    return picture


def indexed(labels: NDArray[np.integer], size: tuple[int, int]) -> tuple[NDArray[np.integer], NDArray[np.int32]]:
    """Label numbers that occur, and a picture (height, width) of where in them each pixel is."""
    numbers, compact = np.unique(labels, return_inverse=True)
    index = compact.reshape(labels.shape).astype(np.int32)
    return numbers, np.asarray(Image.fromarray(index).resize(size[::-1], Image.Resampling.NEAREST))


def outline(index: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Pixels within `width` of a different label, seen from inside each label."""
    edge = np.zeros(index.shape, bool)
    for step in range(1, width + 1):
        down = index[step:] != index[:-step]
        right = index[:, step:] != index[:, :-step]
        edge[step:] |= down
        edge[:-step] |= down
        edge[:, step:] |= right
        edge[:, :-step] |= right
    return edge
