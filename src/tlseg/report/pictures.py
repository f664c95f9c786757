"""Small pictures of frames for a page: projections along z and x side by side, grey and outlines apart.

Frames are read one at a time and in slabs along z, at the pyramid level that is just fine enough, so neither a long
movie nor a large frame has to fit in memory.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlseg.geometry import Grid, Spacing
from tlseg.report.pixels import Window, front, grey_picture, grey_window, outline_picture
from tlseg.store.image.movie import MovieSource, open_source

LEAST_PIXELS, MOST_PIXELS = 320, 640
MOST_SHOTS = 160
MOST_BYTES = 7_500_000
"""Size of all pictures of a page together, as text; if more frames do not fit, they are thinned out evenly."""

STEADY = 5
"""Pictures that share their black and white, an odd number."""
DIMMEST = 2.0
"""How many times darker than by itself a frame may be shown."""

_SLAB = 16  # planes read at once
_GAP = 6  # pixels between the two projections
_PAPER = 24

Progress = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the two projections lie in a picture.

    Attributes
    ----------
    um_per_pixel : float
        Micrometres per pixel along both directions.
    top : (height, width)
        Pixels of the projection along z.
    side : int
        Width of the projection along x to its right, pixels; 0 for flat frames.
    """

    um_per_pixel: float
    top: tuple[int, int]
    side: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole picture."""
        height, width = self.top
        return height, (width + _GAP + self.side if self.side else width)

    def places(self, centre: Spacing, shape: Spacing) -> list[tuple[float, float]]:
        """Where a nucleus is seen in each projection, as fractions (left, top) of the picture.

        Parameters
        ----------
        centre, shape : (z, y, x)
            Its centre and the frame's extent, voxels.
        """
        z, y, x = ((c + 0.5) / n for c, n in zip(centre, shape, strict=True))
        whole = self.size[1]
        found = [(x * self.top[1] / whole, y)]
        if self.side:
            found.append(((self.top[1] + _GAP + z * self.side) / whole, y))
        return found


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame as two pictures that lie on each other, as data URIs."""

    t: int
    grey: str
    outlines: str

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return len(self.grey) + len(self.outlines)


@dataclass(frozen=True, slots=True)
class _Grey:
    """Both projections of a frame of the image, None without one, and the grey values it alone shows black and white."""

    planes: tuple[NDArray[np.generic], NDArray[np.generic]] | None
    window: Window


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures of a movie in order of time."""

    layout: Layout
    shots: list[Shot]
    nbytes: int


@dataclass(frozen=True, slots=True)
class Footage:
    """Image and labels of one movie at the level pictures are made from.

    Attributes
    ----------
    labels : MovieSource
    image : MovieSource or None
        None if there are only labels.
    frames : range
        Frames that may be shown.
    first : int
        Frame of the image that lies beneath the labels' first.
    """

    labels: MovieSource
    image: MovieSource | None
    frames: range
    first: int = 0


def open_footage(
    labels: str, image: str | None, *, channel: int = 0, frames: range | None = None, first: int = 0
) -> Footage:
    """Open image and labels at the coarsest level that still fills a picture.

    Parameters
    ----------
    labels, image : str
        OME-Zarr images.
    channel : int
        Channel of the image.
    frames : range, optional
        Frames that may be shown; all if not given.
    first : int
        Frame of the image that lies beneath the labels' first.
    """
    source = _fit_level(labels)
    shown = range(source.n_frames) if frames is None else frames
    return Footage(source, None if image is None else _fit_level(image, channel=channel), shown, first)


def take_strip(footage: Footage, *, progress: Progress | None = None) -> Strip:
    """Make pictures of a movie, of every frame where they fit.

    Parameters
    ----------
    footage : Footage
    progress : callable, optional
        Called with (pictures done, pictures) after each.
    """
    layout, frames = layout_of(footage.labels), footage.frames
    samples = thinned(frames, 3)
    largest = max(shot.nbytes for shot in take_shots(footage, samples, layout))
    chosen = thinned(frames, max(len(samples), min(MOST_SHOTS, MOST_BYTES // largest)))
    shots = []
    for done, shot in enumerate(take_shots(footage, chosen, layout), start=1):
        shots.append(shot)
        if progress is not None:
            progress(done, len(chosen))
    while (nbytes := sum(shot.nbytes for shot in shots)) > MOST_BYTES and len(shots) > 1:
        shots = thinned(shots, len(shots) * 7 // 8)
    return Strip(layout, shots, nbytes)


def thinned(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, 1 or more, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(1, most - 1))] for i in range(most)]


def layout_of(source: MovieSource) -> Layout:
    """Layout whose longer side has `LEAST_PIXELS` to `MOST_PIXELS`, in true proportions."""
    (sz, sy, sx), (nz, ny, nx) = source.spacing_um, source.frame_shape
    height, width = ny * sy, nx * sx
    finest = min(sy, sx)
    pixels = max(height, width) / finest
    zoom = max(1, -(-LEAST_PIXELS // round(pixels)))
    um = max(finest / zoom, max(height, width) / MOST_PIXELS)
    side = 0 if nz == 1 else min(MOST_PIXELS, max(8, round(nz * sz / um)))
    return Layout(um, (max(1, round(height / um)), max(1, round(width / um))), side)


def take_shots(footage: Footage, frames: Sequence[int], layout: Layout) -> Iterator[Shot]:
    """Pictures of frames in order.

    Black and white follow the movie slowly: from frame to frame they are the median of those of `STEADY` frames around, so
    that one nucleus in mitosis does not darken the others; a frame much dimmer than those around is lifted so far that it
    can be seen.
    """
    reach = STEADY // 2
    held: dict[int, _Grey] = {}
    for i, t in enumerate(frames):
        near = range(max(0, i - reach), min(len(frames), i + reach + 1))
        held = {j: held[j] if j in held else _project_grey(footage, frames[j]) for j in near}
        low, high = np.median([held[j].window for j in near], axis=0)
        own = held[i].window[1]
        white = min(float(high), float(low) + DIMMEST * max(own - float(low), 1e-6))
        yield _shot(footage, t, layout, held[i], window=(float(low), white))


def _shot(footage: Footage, t: int, layout: Layout, grey: _Grey, *, window: Window) -> Shot:
    # Labels without an image are filled: there is nothing beneath to hide.
    fill = 0.0 if footage.image is not None else 0.55
    line = 2 if max(layout.top) >= 3 * max(footage.labels.frame_shape[1:]) else 1
    drawn = partial(outline_picture, line=line, fill=fill)
    outlines = _both(layout, _project_labels(footage.labels, t), drawn, paper=np.zeros(4, np.uint8))
    picture = np.full(layout.size, _PAPER, np.uint8)
    if grey.planes is not None:
        picture = _both(layout, grey.planes, partial(grey_picture, window=window), paper=np.uint8(_PAPER))
    return Shot(t, _jpeg(picture), _png(outlines))


def _both(
    layout: Layout,
    planes: tuple[NDArray[Any], NDArray[Any]],
    draw: Callable[[NDArray[Any], tuple[int, int]], NDArray[np.uint8]],
    *,
    paper: NDArray[np.uint8] | np.uint8,
) -> NDArray[np.uint8]:
    """Draw the projections beside each other with a gap between; of flat frames, that along z alone."""
    top, side = planes
    left = draw(top, layout.top)
    if not layout.side:
        return left
    height = layout.top[0]
    gap = np.broadcast_to(paper, (height, _GAP, *left.shape[2:]))
    return np.concatenate([left, gap, draw(side, (height, layout.side))], axis=1)


def _project_grey(footage: Footage, t: int) -> _Grey:
    if footage.image is None:
        return _Grey(None, (0.0, 1.0))
    planes = _project_image(footage.image, footage.first + t)
    return _Grey(planes, grey_window(planes[0]))


def _project_image(source: MovieSource, t: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Brightest value along z, (y, x), and along x, (y, z); NaN only where there is nothing else."""
    top: NDArray[np.generic] | None = None
    side = []
    for box in _slabs(source):
        slab = source.read(t, box)
        flat = np.fmax.reduce(slab, axis=0)
        top = flat if top is None else np.fmax(top, flat)
        side.append(np.fmax.reduce(slab, axis=2))
    return (np.zeros((1, 1)) if top is None else top), np.concatenate(side).T


def _project_labels(source: MovieSource, t: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Label met first from the last plane, (y, x), and from the last column, (y, z)."""
    top = np.zeros(source.frame_shape[1:], np.uint32)
    side = []
    for box in _slabs(source):
        slab = source.read(t, box).astype(np.uint32)
        flat = front(slab[::-1])
        top = np.where(flat, flat, top)  # a later plane lies in front
        side.append(front(slab[..., ::-1].transpose(2, 0, 1)))
    return top, np.concatenate(side).T


def _slabs(source: MovieSource) -> Grid:
    return Grid(source.frame_shape, (_SLAB, *source.frame_shape[1:]))


def _fit_level(path: str, *, channel: int = 0) -> MovieSource:
    finest = open_source(path, channel=channel)
    fits = [i for i, shape in enumerate(finest.level_shapes) if max(shape[1:]) >= LEAST_PIXELS]
    return open_source(path, channel=channel, level=fits[-1]) if fits and fits[-1] else finest


def _jpeg(grey: NDArray[np.uint8]) -> str:
    data = io.BytesIO()
    Image.fromarray(grey).save(data, format="JPEG", quality=74, optimize=True)
    return _uri(data, "jpeg")


def _png(rgba: NDArray[np.uint8]) -> str:
    """Picture with a palette: few colours, so the outlines stay small."""
    colors, index = _palette(rgba)
    if len(colors) > 256:
        # More colours than a palette holds: five levels of each are still told apart, at two opacities and clear.
        coarse = rgba.copy()
        coarse[..., :3] = (rgba[..., :3].astype(np.uint16) + 31) // 63 * 63
        colors, index = _palette(coarse)
    picture = Image.fromarray(index.astype(np.uint8))
    picture.putpalette(colors[:, :3].tobytes())
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True, transparency=colors[:, 3].tobytes())
    return _uri(data, "png")


def _palette(rgba: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Colours that occur, (n, 4), and which of them each pixel has, (height, width)."""
    packed = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]
    colors, index = np.unique(packed, return_inverse=True)
    return colors[:, None].view(np.uint8), index.reshape(packed.shape)


def _uri(data: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
