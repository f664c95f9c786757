"""Read the pixels of a TIFF, plane by plane.

Uncompressed planes are mapped into memory; of others, at most one is decoded at a time, never a whole file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError, one_line
from tlseg.geometry import Box
from tlseg.store.image.tiff import TiffInfo, only_series, open_tiff


class TiffReader:
    """Reads boxes of one TIFF, which is open until `close`."""

    def __init__(self, info: TiffInfo) -> None:
        self.info = info
        self._tif = open_tiff(info.path)
        try:
            self._series = only_series(self._tif, info.path)
            self._memory = self._map()
        except BaseException:
            self._tif.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._memory = None
        self._tif.close()

    def read(self, frame: int, channel: int, box: Box) -> npt.NDArray[np.generic]:
        """Read the voxels (z, y, x) of a box of one frame and channel, in native byte order.

        Raises
        ------
        MovieError
            If a plane is damaged or cut short.
        """
        voxels = np.empty(box.shape, dtype=self.info.dtype)
        rows, columns = box.slices[1:]
        for i, z in enumerate(range(box.start[0], box.stop[0])):
            voxels[i] = self._plane(frame, channel, z)[rows, columns]
        return voxels

    def _plane(self, frame: int, channel: int, z: int) -> npt.NDArray[np.generic]:
        place = {"T": frame, "C": channel, "Z": z}
        number = 0
        for axis in self.info.lead:
            number = number * self.info.sizes[axis] + place[axis]
        if self._memory is not None:
            plane: npt.NDArray[np.generic] = self._memory[number]
            return plane
        return self._decode(number, f"t {frame}, c {channel}, z {z}")

    def _map(self) -> npt.NDArray[np.generic] | None:
        """Uncompressed planes that follow each other on disk as (planes, y, x), without reading them."""
        info, offset = self.info, self._series.dataoffset
        if offset is None or info.spread:
            return None
        planes = math.prod(info.sizes[a] for a in info.lead)
        dtype = info.dtype.newbyteorder(self._tif.byteorder)
        shape = (planes, info.sizes["Y"], info.sizes["X"])
        expected, found = offset + math.prod(shape) * dtype.itemsize, info.path.stat().st_size
        if found < expected:
            raise MovieError(
                f"{info.path} is cut short: {found} bytes, expected at least {expected} for its pixels. Copy it again."
            )
        return np.memmap(info.path, dtype=dtype, mode="r", offset=offset, shape=shape)

    def _decode(self, number: int, where: str) -> npt.NDArray[np.generic]:
        samples = self._series.shape[self._series.axes.index("S")] if "S" in self._series.axes else 1
        index, sample = divmod(number, samples)
        try:
            page = self._series.pages[index]
            _check_complete(page)
            plane: npt.NDArray[np.generic] = np.asarray(page.asarray())
        except Exception as error:  # damaged pages fail in as many ways as there are codecs
            raise MovieError(
                f"{self.info.path}: the plane at {where} cannot be read ({one_line(error)}). "
                "The file is damaged or cut short; copy it again."
            ) from error
        return plane[sample] if plane.ndim == 3 else plane


def _check_complete(page: Any) -> None:
    if page is None:
        raise ValueError("no page where one is expected")
    size = page.parent.filehandle.size
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count or offset + count > size:
            raise ValueError(f"pixels at bytes {offset} to {offset + count} of a file of {size}")
