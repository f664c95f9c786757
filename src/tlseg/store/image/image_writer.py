"""Image out: an OME-Zarr 0.5 image pyramid, written region by region, complete once its metadata are there.

Axes are always (t, c, z, y, x), without z for 2D movies. All chunks are written, even zeros, so a missing one was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError
from tlseg.geometry import Box, Grid
from tlseg.store.fs.documents import read_json, refresh_consolidated, replace_json
from tlseg.store.fs.groups import open_group, writable_group
from tlseg.store.fs.paths import real
from tlseg.store.fs.place import Place, place_of
from tlseg.store.image.arrays import PyramidArrays, ensure_arrays
from tlseg.store.image.metadata import Json, image_axes, omero_channels, parse_image, write_multiscales
from tlseg.store.image.movie import MovieSource
from tlseg.store.image.pyramid import Pyramid, plan_pyramid
from tlseg.store.locks.group_lock import turn

ImageMode = Literal["new", "resume", "overwrite"]
_SAMPLED_FRAMES = 3
_SHOWN = (0.1, 99.9)  # percentiles of the coarsest level that the display window spans


@dataclass(frozen=True, slots=True)
class ImageWriter:
    """Writes one image movie; a small value that travels to workers.

    Attributes
    ----------
    root : str
        OME-Zarr group of the image.
    channel_names : tuple of str
        One per channel.
    interval_s : float or None
        Seconds between frames.
    start_s : float
        Time of the first frame written.
    arrays : PyramidArrays
        Where the pixels go.
    """

    root: str
    channel_names: tuple[str, ...]
    interval_s: float | None
    start_s: float
    arrays: PyramidArrays

    @property
    def regions(self) -> Grid:
        """Regions of a frame: each is a whole number of shards at every level, so one owner can write it alone."""
        return self.arrays.pyramid.regions

    @property
    def source(self) -> MovieSource:
        """The movie that can be read once it is finished: its first channel, for labels that are to lie beside it."""
        pyramid = self.arrays.pyramid
        shapes = tuple(pyramid.level_shape(level) for level in range(len(pyramid.factors)))
        return MovieSource(
            url=self.root,
            array_path="0",
            axes=self.arrays.axes,
            channel=0,
            shape=(self.arrays.n_frames, *shapes[0]),
            dtype=self.arrays.dtype,
            spacing_um=pyramid.level_spacing_um(0),
            translation_um=pyramid.level_translation_um(0),
            spacing_problem=None,
            interval_s=self.interval_s,
            start_s=self.start_s,
            channel_names=self.channel_names,
            version="0.5",
            is_2d="z" not in self.arrays.axes,
            writable=not Place(self.root).remote,
            level_shapes=shapes,
            digest="",
        )

    def write(self, frame: int, box: Box, voxels: npt.NDArray[np.generic], *, channel: int = 0) -> None:
        """Write the voxels (z, y, x) of a box of whole regions, at every level; `frame` counts from 0 in the arrays."""
        self.arrays.write(frame, box, voxels, channel=channel)

    def finish(self, *, like: Sequence[Json] = ()) -> None:
        """Write the metadata, including the display window; until then no reader sees an image.

        Parameters
        ----------
        like : sequence of dict, optional
            `omero` channels of the source, whose colours are kept.
        """
        windows = [self._window(channel) for channel in range(self.arrays.n_channels)]
        with turn(Place(self.root)):
            write_multiscales(
                writable_group(self.root),
                name=Place(self.root).name.lstrip(".").split(".")[0] or "movie",
                axes=image_axes(self.arrays.axes, interval_known=self.interval_s is not None),
                datasets=self.arrays.datasets(interval_s=self.interval_s, start_s=self.start_s),
                kind="local mean",
                omero=omero_channels(self.channel_names, windows, like=like),
            )
            refresh_consolidated(Place(self.root))

    def _window(self, channel: int) -> tuple[float, float, float, float]:
        coarsest = len(self.arrays.pyramid.factors) - 1
        box = Box.of_shape(self.arrays.pyramid.level_shape(coarsest))
        frames = {round(f) for f in np.linspace(0, self.arrays.n_frames - 1, _SAMPLED_FRAMES)}
        sample = np.stack([self.arrays.read(f, box, channel=channel, level=coarsest) for f in sorted(frames)])
        dtype = np.dtype(self.arrays.dtype)
        if dtype.kind == "f":  # JSON knows no other numbers than finite ones
            sample = sample[np.isfinite(sample)] if np.isfinite(sample).any() else np.zeros(1)
        start, end = (float(v) for v in np.percentile(sample, _SHOWN))
        end = end if end > start else start + 1
        if dtype.kind == "f":
            return float(sample.min()), max(float(sample.max()), end), start, end
        limits = np.iinfo(dtype)
        return float(limits.min), float(limits.max), start, end


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """Copies one channel of a movie region by region; a small value that travels to workers."""

    source: MovieSource
    writer: ImageWriter
    first_frame: int

    @property
    def regions(self) -> Grid:
        """Regions of a frame; each can be copied by its own worker."""
        return self.writer.regions

    def write(self, frame: int, box: Box) -> None:
        """Copy a box of whole regions of one frame (its number in the source) at every level."""
        self.writer.write(frame - self.first_frame, box, self.source.read(frame, box))

    def flush(self, frame: int, box: Box) -> None:
        """Wait until the copy of a box of whole regions is on the disk."""
        self.writer.arrays.flush(frame - self.first_frame, box)

    def finish(self) -> None:
        """Write the metadata of the copy; the channel keeps its name and colour."""
        omero = parse_image(dict(open_group(self.source.url).attrs), where=self.source.url).omero
        channels = omero.get("channels")
        chosen = channels[self.source.channel : self.source.channel + 1] if isinstance(channels, list) else []
        self.writer.finish(like=chosen)


def create_image(
    root: str | Path | Place,
    *,
    pyramid: Pyramid,
    n_frames: int,
    dtype: str,
    channel_names: Sequence[str],
    is_2d: bool,
    interval_s: float | None,
    start_s: float = 0.0,
    mode: ImageMode = "new",
) -> ImageWriter:
    """Create the arrays of an image movie.

    Parameters
    ----------
    root : str, Path or Place
        Group of the image, a path or a URL; created if absent.
    pyramid : Pyramid
        Layout of a frame.
    n_frames : int
        Number of frames.
    dtype : str
        Data type in numpy's spelling.
    channel_names : sequence of str
        One per channel.
    is_2d : bool
        Whether to leave out z.
    interval_s : float or None
        Seconds between frames.
    start_s : float, default: 0
        Time of the first frame.
    mode : {"new", "resume", "overwrite"}, default: "new"
        What to do if the group already has levels: refuse, continue writing into them, or start over.

    Raises
    ------
    MovieError
        If the group already holds an image and may not be touched.
    """
    place = place_of(root)
    arrays = PyramidArrays(
        group=place.url,
        kind="image",
        axes="tcyx" if is_2d else "tczyx",
        n_frames=n_frames,
        n_channels=len(channel_names),
        dtype=dtype,
        pyramid=pyramid,
    )
    levels = image_levels_in(place)
    if levels and mode == "new":
        raise MovieError(f"{place} already holds an image. Use --overwrite to replace it, or another path.")
    if mode == "overwrite":
        _forget_image(place)
        for level in levels:
            (place / level).remove()
    ensure_arrays(arrays)
    return ImageWriter(place.url, tuple(channel_names), interval_s, start_s, arrays)


def image_levels_in(root: Place) -> list[str]:
    """Names of the arrays of an image that a group holds, finished or not."""
    return [name for name in root.names() if name.isdecimal() and (root / name / "zarr.json").exists()]


def copy_image(
    source: MovieSource, out_root: str | Path | Place, *, frames: range | None = None, mode: ImageMode = "new"
) -> ImageCopy:
    """Create an image movie in another store that gets the chosen channel and frames of `source`.

    Nothing is copied yet: workers call `ImageCopy.write` for every frame and region, then one calls `finish`.

    Parameters
    ----------
    source : MovieSource
        What to copy.
    out_root : str, Path or Place
        Group of the copy, a path or a URL; created if absent.
    frames : range, optional
        Frames to copy; all if not given. The first becomes frame 0 and keeps its time.
    mode : {"new", "resume", "overwrite"}, default: "new"
        What to do if the group already has levels.
    """
    frames = frames if frames is not None else range(source.n_frames)
    if real(out_root) == real(source.url):
        raise MovieError(f"{source.url} cannot be copied onto itself. Give another path with --out.")
    pyramid = plan_pyramid(source.frame_shape, spacing_um=source.spacing_um, translation_um=source.translation_um)
    writer = create_image(
        out_root,
        pyramid=pyramid,
        n_frames=len(frames),
        dtype=np.dtype(source.dtype).newbyteorder("=").str,
        channel_names=[source.channel_names[source.channel]],
        is_2d=source.is_2d,
        interval_s=source.interval_s,
        start_s=source.time_s(frames.start),
        mode=mode,
    )
    return ImageCopy(source, writer, frames.start)


def _forget_image(root: Place) -> None:
    path = root / "zarr.json"
    if not path.exists():
        return
    document = read_json(path)
    ome = document.get("attributes", {}).get("ome", {})
    for key in ("multiscales", "omero"):
        ome.pop(key, None)
    replace_json(path, document)
