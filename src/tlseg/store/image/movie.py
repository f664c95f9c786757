"""Movie input: open an OME-Zarr movie, local or remote, and read boxes of its frames.

Pixels are read only on request, and never written to. Workers open the movie themselves from a small `MovieSource`. It
refuses to read an array that has since been replaced by one of another shape, data type or layout: a local one is checked at
every read, a remote one, which costs a request, when a process opens it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError, one_line
from tlseg.geometry import Box, Shape, Spacing, triple
from tlseg.store.fs.groups import read_only_store
from tlseg.store.fs.paths import can_list, is_url, resolve
from tlseg.store.image.chunks import Chunks
from tlseg.store.image.metadata import Json
from tlseg.store.image.multiscale import Multiscale, open_multiscale
from tlseg.wording import how_many

if TYPE_CHECKING:
    import xarray
    from zarr import Array

HERE = "."
"""Address of a movie that holds the result itself."""


@dataclass(frozen=True, slots=True)
class MovieSource:
    """One channel of a movie, as a small value that travels to workers.

    Attributes
    ----------
    url : str
        Absolute path or URL of the OME-Zarr group.
    array_path : str
        Array of the chosen level inside the group.
    axes : str
        Letters of the array's axes among t, c, z, y, x.
    channel : int
        Index along c; 0 if there is no c.
    shape : (t, z, y, x)
        Frames and voxels; 1 along an axis the array does not have.
    dtype : str
        Data type in numpy's spelling, byte order included.
    spacing_um, translation_um : (z, y, x)
        Voxel spacing, and position of the centre of the first voxel, micrometres.
    spacing_problem : str or None
        Why the spacing cannot be trusted; None if it can.
    interval_s : float or None
        Seconds between frames; None where unknown.
    start_s : float
        Time of the first frame.
    channel_names : tuple of str
        One per channel.
    version : str
        OME-Zarr version, "0.4" or "0.5".
    is_2d : bool
        Whether there is no z axis.
    writable : bool
        Whether labels can be added to the group itself: a local 0.5 group with write permission.
    level_shapes : tuple of (z, y, x)
        Shape of each pyramid level from `array_path`'s level on.
    digest : str
        Hash of the array's metadata when it was opened.
    spacing_note : str
        What was assumed about the spacing; empty if nothing was.
    """

    url: str
    array_path: str
    axes: str
    channel: int
    shape: tuple[int, int, int, int]
    dtype: str
    spacing_um: Spacing
    translation_um: Spacing
    spacing_problem: str | None
    interval_s: float | None
    start_s: float
    channel_names: tuple[str, ...]
    version: str
    is_2d: bool
    writable: bool
    level_shapes: tuple[Shape, ...]
    digest: str
    spacing_note: str = ""

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.shape[0]

    @property
    def frame_shape(self) -> Shape:
        """Voxels (z, y, x) of a frame."""
        return self.shape[1:]

    @property
    def chunk_shape(self) -> Shape:
        """Voxels (z, y, x) that are decoded at once, 1 along an axis the array does not have."""
        return _space(tuple(self.axes), _open_array(self, _stamp(self)).chunks)

    @property
    def shard_shape(self) -> Shape:
        """Voxels (z, y, x) that lie in one file, 1 along an axis the array does not have."""
        array = _open_array(self, _stamp(self))
        return _space(tuple(self.axes), array.shards or array.chunks)

    def time_s(self, frame: int) -> float:
        """Time of a frame, seconds; that of the first where the interval is unknown."""
        return self.start_s + frame * (self.interval_s or 0.0)

    def read(self, frame: int, box: Box) -> npt.NDArray[np.generic]:
        """Read the voxels (z, y, x) of a box of one frame, in native byte order.

        Raises
        ------
        MovieError
            If the box is not inside the movie, or a chunk is damaged.
        """
        if not (0 <= frame < self.n_frames and Box.of_shape(self.frame_shape).contains(box)):
            raise MovieError(
                f"{self.url}: frame {frame}, voxels {_spell(box)} were requested. Expected a place inside "
                f"{how_many(self.n_frames, 'frame')} of {self.frame_shape}."
            )
        array = _open_array(self, _stamp(self))
        places: dict[str, int | slice] = {"t": frame, "c": self.channel} | dict(zip("zyx", box.slices, strict=True))
        try:
            voxels = np.asarray(array[tuple(places[a] for a in self.axes)])
        except Exception as error:  # every store and codec has errors of its own
            raise MovieError(
                f"{self.url}: frame {frame}, voxels {_spell(box)} cannot be read ({one_line(error)}). "
                "A chunk is damaged or cut short; copy or convert the movie again."
            ) from error
        space = [a for a in self.axes if a in "zyx"]
        voxels = voxels.transpose([space.index(a) for a in "zyx" if a in space]).reshape(box.shape)
        return np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))

    def missing_chunks(self, frames: Iterable[int]) -> Iterator[str]:
        """Yield the keys of chunks (or shards) of `frames` that the store does not hold, on demand.

        A reader sees the fill value there. Stores that cannot be listed (http) yield none.
        """
        if can_list(self.url):
            yield from self._chunks(frames).missing()

    def mark(self, frame: int) -> str:
        """Return a text that is another one once pixels of a frame were written, without reading them.

        It is always empty for a store that cannot be listed (http).
        """
        return self._chunks([frame]).mark() if can_list(self.url) else ""

    def identity(self, *, root: str | None = None) -> Json:
        """Everything that identifies this input, ready for JSON.

        A movie that is itself the `root` of a result is identified by its pixels alone, so that both can be moved together:
        its address is `HERE`.
        """
        return {
            "url": HERE if self.url == root else self.url,
            "array": self.array_path,
            "array_metadata": self.digest,
            "axes": self.axes,
            "channel": self.channel,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "spacing_um": list(self.spacing_um),
        }

    def _chunks(self, frames: Iterable[int]) -> Chunks:
        array = _open_array(self, _stamp(self))
        return Chunks.of(array, url=self.url, path=self.array_path, axes=self.axes, frames=frames, channel=self.channel)


def address_of(identity: Mapping[str, Any], *, root: str) -> str:
    """Address of the movie of an `identity` that a result in `root` recorded; empty if it has none."""
    url = str(identity.get("url", ""))
    return root if url == HERE else url


def open_source(path: str | Path, *, channel: int | str | None = None, level: int = 0) -> MovieSource:
    """Open one channel of an OME-Zarr movie for reading box by box.

    Parameters
    ----------
    path : str or Path
        Local folder, or an http(s):// or s3:// URL, of an OME-Zarr 0.4 or 0.5 image.
    channel : int or str, optional
        Index or name along c; the first if not given.
    level : int, default: 0
        Pyramid level, 0 the finest.

    Raises
    ------
    MovieError
        If there is no readable image; one line that says what was found, expected, and what to do.
    MissingExtraError
        If a URL needs a file system that is not installed.
    """
    image = open_multiscale(resolve(path))
    array, metadata = image.array(level), image.metadata
    sizes = dict(zip(metadata.axes, array.shape, strict=True))
    return MovieSource(
        url=image.url,
        array_path=metadata.paths[level],
        axes="".join(metadata.axes),
        channel=0 if channel is None else image.channel(channel),
        shape=(sizes.get("t", 1), *_space(metadata.axes, array.shape)),
        dtype=array.dtype.str,
        spacing_um=metadata.spacing_um(level),
        translation_um=metadata.translation_um(level),
        spacing_problem=metadata.spacing_problem,
        interval_s=metadata.interval_s,
        start_s=metadata.start_s,
        channel_names=image.channel_names,
        version=metadata.version,
        is_2d="z" not in metadata.axes,
        writable=image.writable,
        level_shapes=tuple(_space(metadata.axes, a.shape) for a in image.arrays[level:]),
        digest=_digest(array),
        spacing_note=metadata.spacing_note,
    )


def open_movie(path: str | Path, *, channel: int | str | None = None, level: int = 0) -> xarray.DataArray:
    """Open an OME-Zarr movie as a lazy array with physical coordinates.

    Parameters
    ----------
    path : str or Path
        Local folder, or an http(s):// or s3:// URL, of an OME-Zarr 0.4 or 0.5 image.
    channel : int or str, optional
        Index or name along c, which then is not a dimension; all channels if not given.
    level : int, default: 0
        Pyramid level, 0 the finest.

    Returns
    -------
    xarray.DataArray
        Backed by dask, with the image's own dimensions among (t, c, z, y, x) in that order. Coordinates: z, y, x in
        micrometres, t in seconds (frame numbers if the interval is unknown), c the channel names. Attributes: `units` (per
        dimension), `spacing_um` (z, y, x), `interval_s`, `source`.

    Raises
    ------
    MovieError
        If there is no readable image.
    MissingExtraError
        If a URL needs a file system that is not installed.
    """
    import dask.array
    import xarray

    image = open_multiscale(resolve(path))
    array, axes = image.array(level), image.metadata.axes
    chunks = array.shards or array.chunks
    data = dask.array.from_array(array, chunks=chunks, inline_array=True, name=False)  # type: ignore[no-untyped-call]
    dims = [a for a in "tczyx" if a in axes]
    data = data.transpose([axes.index(a) for a in dims])
    coords = {a: (a, *_coordinate(image, level, a, n)) for a, n in zip(dims, data.shape, strict=True)}
    movie = xarray.DataArray(
        data,
        dims=dims,
        coords=coords,
        name=image.url.rsplit("/", 1)[-1].split(".")[0] or "movie",
        attrs={
            "units": {a: coords[a][2]["units"] for a in dims if a != "c"},
            "spacing_um": image.metadata.spacing_um(level),
            "interval_s": image.metadata.interval_s,
            "source": image.url,
        },
    )
    if channel is None:
        return movie
    index = image.channel(channel)
    return movie.isel(c=index) if "c" in dims else movie


@lru_cache(maxsize=64)
def _open_array(source: MovieSource, stamp: tuple[int, ...]) -> Array[Any]:
    """Open the array and compare it with what it was; done once for each `stamp`."""
    import zarr

    try:
        array = zarr.open_array(read_only_store(source.url), path=source.array_path, mode="r")
    except Exception as error:
        raise MovieError(f"{source.url}: array {source.array_path!r} cannot be opened ({one_line(error)}).") from error
    if _digest(array) != source.digest:
        raise MovieError(f"{source.url} has been replaced since it was opened. Open it again.")
    return array


def _stamp(source: MovieSource) -> tuple[int, ...]:
    """What changes when a local array's metadata are written again; the same for all remote ones."""
    if is_url(source.url):
        return ()
    for name in ("zarr.json", ".zarray"):
        with suppress(OSError):
            now = (Path(source.url) / source.array_path / name).stat()
            return (now.st_mtime_ns, now.st_size, now.st_ino)
    return ()


def _coordinate(image: Multiscale, level: int, axis: str, size: int) -> tuple[Any, dict[str, str]]:
    metadata = image.metadata
    if axis == "c":
        return list(image.channel_names), {}
    if axis == "t" and metadata.interval_s is None:
        return np.arange(size), {"units": "frame"}
    place = metadata.axes.index(axis)
    values = metadata.translations[level][place] + np.arange(size) * metadata.scales[level][place]
    return values, {"units": "second" if axis == "t" else "micrometer"}


def _space(axes: tuple[str, ...], shape: tuple[int, ...]) -> Shape:
    sizes = dict(zip(axes, shape, strict=True))
    return triple(sizes.get(a, 1) for a in "zyx")


def _digest(array: Array[Any]) -> str:
    metadata = {k: v for k, v in array.metadata.to_dict().items() if k != "attributes"}
    return hashlib.sha256(json.dumps(metadata, sort_keys=True, default=str).encode()).hexdigest()


def _spell(box: Box) -> str:
    return "[" + ", ".join(f"{a}:{b}" for a, b in zip(box.start, box.stop, strict=True)) + "]"
