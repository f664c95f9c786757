"""How bright is a frame where there are nuclei in it?

The brightest thousandth of a frame says how bright nuclei are while the frame is as large as those the networks learned
from: an embryo with some room around it. In a wide field it would be background, in a close crop only the very brightest.
So another number of voxels counts there: that of the smallest or largest of those frames, or of the neighbourhood of all
that stands out, if there is more in the frame than one embryo.

If the brightest voxels are all equally bright, the frame is saturated, and their brightness without that is extrapolated
from the voxels that are less bright. And zeros with which deskewing, registration or the fusion of views fill up a frame say
nothing about how dark it is: they surround all that was imaged, whereas a black background surrounds single nuclei.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.config import Scaling
from tlseg.errors import MovieError
from tlseg.geometry import Box, Grid, Shape, Spacing, triple
from tlseg.models.derive import nucleus_um
from tlseg.predict.grey_values import GreyValues
from tlseg.predict.normalise import QUANTILES, FrameStatistics
from tlseg.predict.tiles import Read, boxes_to_read, tile_sizes, tile_sums

SMALLEST, LARGEST = 800_000, 1_100_000
"""Voxels of the network's grid in the frames that networks learned from (BBBC050)."""
CLOSEST, CLOSEST_PLANE = 4.0, 8.0
"""A smaller frame counts as at most this many times itself: it may be full of nuclei, a single plane even more so."""
TILE = 16
"""Side of a tile in voxels of the network's grid along x."""
NEAR = 2
"""Tiles around one with something in it that are its neighbourhood."""
STANDS_OUT = 0.3
"""What stands out is brighter than this share of the way from the dark level to the brightest voxels of one embryo."""
SHARE = 0.01
"""Least share of a tile's voxels that stand out where there is something in it."""
MOST_EXTRAPOLATED = 4.0
"""A saturated frame counts as at most this many times as bright as the greatest value in it."""
LEAST_PADDING = 0.05
"""Share of a frame that has the least value if that may be padding."""
FULL, IN_FULL_TILES = 0.9, 0.45
"""Beside padding, this share of all other voxels lies in tiles that hold hardly any of it."""


def measure_brightness(
    read: Read,
    *,
    shape: Shape,
    dtype: str,
    spacing_um: Spacing,
    grid_um: Spacing,
    scaling: Scaling,
    frame: int = 0,
    chunk: Shape = (1, 1, 1),
) -> FrameStatistics:
    """Grey values of a frame that become 0 and 1.

    Parameters
    ----------
    read
        Reads a box of the frame. The frame is read once, and again if it is large, and if it is padded; up to four times
        more if it is float32.
    shape, dtype, spacing_um
        Of the frame: voxels (z, y, x), numpy dtype, micrometres (z, y, x).
    grid_um
        Voxel spacing the network sees: nuclei are of one size there, and so are tiles.
    scaling
        With "extremes" the whole frame counts.
    frame
        Its number, for errors.
    chunk
        Voxels (z, y, x) that are decoded at once: boxes are whole chunks, so that none is decoded twice for a question.

    Raises
    ------
    MovieError
        For NaN or infinite values, dtypes that cannot be normalised, and empty or (all but) constant frames.
    """
    checked = _finite(read, dtype=dtype, frame=frame)
    boxes = boxes_to_read(shape, chunk=chunk, itemsize=np.dtype(dtype).itemsize)
    dark, share = QUANTILES[scaling]
    closest = CLOSEST
    if shape[0] == 1:
        # However thick it is said to be, one plane counts as a slab as thick as a nucleus.
        closest, spacing_um = CLOSEST_PLANE, (nucleus_um(grid_um), *spacing_um[1:])
    voxels, unit = math.prod(shape), math.prod(grid_um) / math.prod(spacing_um)
    counted: float = voxels
    if scaling != "extremes":
        counted = min(max(voxels, SMALLEST * unit), LARGEST * unit, closest * voxels)
    tiles = Grid(shape, triple(max(1, round(TILE * grid_um[2] / s)) for s in spacing_um))

    def standing(above: float) -> NDArray[np.int64]:
        """Number of voxels in each tile that are brighter than this."""
        return tile_sums(read, tiles, boxes=boxes, of=lambda plane: plane > above)

    values = GreyValues(lambda: map(checked, boxes), dtype=dtype)
    least, low, high, most = values.at(0.0, dark, _below(share, counted / voxels), 1.0)
    imaged = -math.inf
    if scaling != "extremes" and LEAST_PADDING < values.share(least) < 1:
        first, median = _of_the_rest(values, least)
        if first > least and median < most and _is_padded(standing(least), tiles):
            imaged, low = first, median
    if counted < voxels:
        near = _neighbourhood(standing(low + STANDS_OUT * (high - low)), tiles)
        if near > counted:
            counted = near
            (high,) = values.at(_below(share, near / voxels))
    saturated = 0.0
    if high == most > low and scaling != "extremes" and values.share(most) * voxels > 1:
        saturated = values.share(most)
        (half,) = values.at(max(0.0, 1 - 2 * saturated))
        high = _unsaturated(saturated / ((1 - share) * counted / voxels), low=low, half=half, most=most)
    # A frame in which few voxels are bright still has contrast.
    found = FrameStatistics(low, high if high > low else most, scaling, saturated, imaged)
    _check_contrast(found, least=least, most=most, frame=frame)
    return found


def _check_contrast(found: FrameStatistics, *, least: float, most: float, frame: int) -> None:
    """Raise a `MovieError` for a frame that cannot be normalised; `least` and `most` are its extremes."""
    low, high = found.low, found.high
    if not high > low:
        flat = f"constant: every voxel is {low:g}"
        if least < most:
            flat = f"flat: half of its voxels or more have the greatest value, {low:g}"
        raise MovieError(
            f"Frame {frame} is {flat}. A frame needs contrast to be normalised; check the export of the movie, or leave the "
            f"frame empty with --skip-frames {frame}."
        )
    with np.errstate(all="ignore"):
        scaled = found.normalise(np.array([low, most]))
    if not np.isfinite(scaled).all():
        raise MovieError(
            f"Frame {frame} is almost constant: from {low:g} to {high:g} there is too little contrast for 32-bit numbers. "
            f"Scale up its grey values, or leave the frame empty with --skip-frames {frame}."
        )


def _finite(read: Read, *, dtype: str, frame: int) -> Read:
    """The same reader, but it refuses NaN and infinite values."""
    if np.dtype(dtype).kind != "f":
        return read

    def checked(box: Box) -> NDArray[Any]:
        values = read(box)
        bad = ~np.isfinite(values).all(axis=(1, 2))
        if bad.any():
            raise MovieError(
                f"Frame {frame} holds NaN or infinite values, in plane z = {box.start[0] + int(bad.argmax())}. "
                f"Replace them before segmenting, or leave the frame empty with --skip-frames {frame}."
            )
        return values

    return checked


def _of_the_rest(values: GreyValues, least: float) -> tuple[float, float]:
    """Where the values begin of all that is not padding, and their median.

    What was imaged has an offset and noise, so they begin above the padding, but for a few voxels interpolated between the
    two: as far below their first tenth as this is below the median.
    """
    padding = values.share(least)
    tenth, median = values.at(*(padding + part * (1 - padding) for part in (0.1, 0.5)))
    return tenth - (median - tenth), median


def _is_padded(standing: NDArray[np.int64], tiles: Grid) -> bool:
    """Whether voxels brighter than the least value, counted in each tile, mostly lie in tiles full of them."""
    full = standing >= FULL * tile_sizes(tiles)
    return bool(standing[full].sum() > IN_FULL_TILES * standing.sum())


def _unsaturated(times: float, *, low: float, half: float, most: float) -> float:
    """How bright the brightest voxels of a frame would be of which `times` as many have the greatest value, `most`.

    The number of voxels that are brighter than some value falls about exponentially with it: by half from `half`, which
    twice as many voxels reach, to `most`.
    """
    return min(most + (most - max(half, low)) * math.log2(times), low + MOST_EXTRAPOLATED * (most - low))


def _below(share: float, times: float) -> float:
    """Share of a frame that is darker than what would be the brightest voxels if it were so many times as large."""
    return share if times == 1 else 1 - (1 - share) * times


def _neighbourhood(standing: NDArray[np.int64], tiles: Grid) -> int:
    """Number of voxels in tiles that have something in them, or are near one that has."""
    voxels = tile_sizes(tiles)
    near = ndimage.maximum_filter(standing > SHARE * voxels, size=2 * NEAR + 1, mode="constant")
    return int(voxels[near].sum())
