"""Write one region of a frame at every pyramid level; only its owner touches its shards.

The arrays are created up front and pixels come region by region, so any number of workers may write at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlseg.errors import LabelError, PlanError, one_line
from tlseg.geometry import Box, Shape
from tlseg.store.fs.durable import flush
from tlseg.store.fs.groups import open_store, writable_group
from tlseg.store.fs.paths import is_url
from tlseg.store.fs.place import Place
from tlseg.store.image.metadata import Json
from tlseg.store.image.pyramid import Pyramid, downsample_labels, image_levels
from tlseg.wording import how_many

Kind = Literal["image", "labels"]


@dataclass(frozen=True, slots=True)
class PyramidArrays:
    """The arrays of one multiscale image in a store, as a small value that travels to workers.

    Attributes
    ----------
    group : str
        Path or URL of the multiscale group.
    kind : {"image", "labels"}
        Images are averaged into coarser levels, labels keep the voxel in the middle.
    axes : str
        Letters of the array's axes among t, c, z, y, x, in that order.
    n_frames, n_channels : int
        Length of t and c (1 where the axis is absent).
    dtype : str
        Data type of all levels, in numpy's spelling.
    pyramid : Pyramid
        Layout of a frame.
    """

    group: str
    kind: Kind
    axes: str
    n_frames: int
    n_channels: int
    dtype: str
    pyramid: Pyramid

    def write(self, frame: int, box: Box, voxels: npt.NDArray[np.generic], *, channel: int = 0) -> None:
        """Write all levels of one box.

        Parameters
        ----------
        frame : int
            Index of the frame in the arrays.
        box : Box
            A whole number of regions.
        voxels : array (z, y, x)
            Voxels of the box, in the arrays' data type.
        channel : int, default: 0
            Index of the channel.

        Raises
        ------
        PlanError
            If the box shares a shard with its neighbour, or the voxels do not fill it.
        """
        self.pyramid.check_whole(box)
        if voxels.shape != box.shape or voxels.dtype != np.dtype(self.dtype):
            raise PlanError(
                f"{voxels.dtype} voxels {voxels.shape} were given for a box of {box.shape} in {self.dtype} arrays. "
                "Expected the same shape and data type."
            )
        if not 0 <= frame < self.n_frames:
            raise PlanError(
                f"Frame {frame} was given for arrays of {how_many(self.n_frames, 'frame')}. Use a frame number below that."
            )
        arrays = _open_arrays(self)
        for index in self.pyramid.regions.touching(box):
            region = self.pyramid.regions[index]
            for level, part in enumerate(self._levels(voxels[region.inside(box).slices])):
                target = self.pyramid.level_box(region, level).slices
                arrays[level][self._index(frame, channel, target)] = part if "z" in self.axes else part[0]

    def flush(self, frame: int, box: Box) -> None:
        """Wait until what was written of a box (first channel) is on the disk; an object store keeps what it accepted."""
        if is_url(self.group):
            return
        arrays, folder = _open_arrays(self), Path(self.group)
        files = []
        for index in self.pyramid.regions.touching(box):
            region = self.pyramid.regions[index]
            for level, array in enumerate(arrays):
                start = self._index(frame, 0, self.pyramid.level_box(region, level).slices)
                place = [at.start if isinstance(at, slice) else at for at in start]
                shard = tuple(at // n for at, n in zip(place, self.shard_shape(level), strict=True))
                files.append(folder / str(level) / array.metadata.encode_chunk_key(shard))
        flush(files, below=folder)

    def read(self, frame: int, box: Box, *, channel: int = 0, level: int = 0) -> npt.NDArray[np.generic]:
        """Read voxels (z, y, x) of a box given in the voxels of `level`."""
        part = np.asarray(_open_arrays(self)[level][self._index(frame, channel, box.slices)])
        return part if "z" in self.axes else part[None]

    def datasets(self, *, interval_s: float | None, start_s: float) -> list[Json]:
        """Path, scale and translation of each level, as the specification wants them."""
        found = []
        for level in range(len(self.pyramid.factors)):
            spacing, shift = self.pyramid.level_spacing_um(level), self.pyramid.level_translation_um(level)
            scale = {"t": interval_s or 1.0, "c": 1.0} | dict(zip("zyx", spacing, strict=True))
            translation = {"t": start_s, "c": 0.0} | dict(zip("zyx", shift, strict=True))
            found.append(
                {
                    "path": str(level),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [float(scale[a]) for a in self.axes]},
                        {"type": "translation", "translation": [float(translation[a]) for a in self.axes]},
                    ],
                }
            )
        return found

    def array_shape(self, level: int) -> tuple[int, ...]:
        """Shape of a level's array along `axes`."""
        return self._along_axes(self.n_frames, self.n_channels, self.pyramid.level_shape(level))

    def shard_shape(self, level: int) -> tuple[int, ...]:
        """Shape of a level's shards along `axes`."""
        return self._along_axes(1, 1, self.pyramid.shard(level))

    def chunk_shape(self, level: int) -> tuple[int, ...]:
        """Shape of the chunks inside a level's shards along `axes`."""
        return self._along_axes(1, 1, self.pyramid.chunk(level))

    def _levels(self, voxels: npt.NDArray[np.generic]) -> Sequence[npt.NDArray[np.generic]]:
        if self.kind == "image":
            return list(image_levels(voxels, self.pyramid.factors))
        return [downsample_labels(voxels, factor) for factor in self.pyramid.factors]

    def _along_axes(self, t: int, c: int, space: Shape) -> tuple[int, ...]:
        sizes = {"t": t, "c": c} | dict(zip("zyx", space, strict=True))
        return tuple(sizes[a] for a in self.axes)

    def _index(self, frame: int, channel: int, space: tuple[slice, ...]) -> tuple[int | slice, ...]:
        parts: dict[str, int | slice] = {"t": frame, "c": channel} | dict(zip("zyx", space, strict=True))
        return tuple(parts[a] for a in self.axes)


def ensure_arrays(arrays: PyramidArrays) -> None:
    """Create the group and its empty arrays; levels that exist already, from an unfinished run, must be the same.

    Raises
    ------
    LabelError
        If a level exists with another shape, data type or layout.
    """
    from zarr.codecs import BloscCodec, ZstdCodec

    place, group = Place(arrays.group), writable_group(arrays.group)
    image = arrays.kind == "image"
    # Zstandard writes the same bytes on every run; Blosc's shuffle is worth having on noisy pixels
    codec: Any = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle") if image else ZstdCodec(level=3)
    for level in range(len(arrays.pyramid.factors)):
        if (place / str(level) / "zarr.json").exists():
            _check_same(arrays, level)
            continue
        group.create_array(
            str(level),
            shape=arrays.array_shape(level),
            dtype=np.dtype(arrays.dtype),
            chunks=arrays.chunk_shape(level),
            shards=arrays.shard_shape(level),
            compressors=[codec],
            fill_value=0,
            dimension_names=tuple(arrays.axes),
        )


def _check_same(arrays: PyramidArrays, level: int) -> None:
    import zarr

    path = f"{arrays.group}/{level}"
    try:
        found = zarr.open_array(open_store(path), mode="r", zarr_format=3)
    except Exception as error:
        raise LabelError(f"{path} cannot be opened ({one_line(error)}). Start again with --overwrite.") from error
    expected = (arrays.array_shape(level), arrays.shard_shape(level), np.dtype(arrays.dtype))
    if (found.shape, found.shards, found.dtype) != expected:
        raise LabelError(
            f"{path} is a {found.dtype} array {found.shape} in shards of {found.shards}, expected {arrays.dtype} "
            f"{expected[0]} in shards of {expected[1]}. It belongs to another run; start again with --overwrite."
        )


@lru_cache(maxsize=32)
def _open_arrays(arrays: PyramidArrays) -> list[Any]:
    import zarr

    # `open_array` ignores its `config`; labels leave zero shards out, images must not
    return [
        zarr.open_array(open_store(f"{arrays.group}/{level}", access="write"), mode="r+", zarr_format=3).with_config(
            {"order": "C", "write_empty_chunks": arrays.kind == "image"}
        )
        for level in range(len(arrays.pyramid.factors))
    ]
