"""Labels as one TIFF stack per frame, for Fiji and everything else that reads TIFF.

Planes go to the file one after the other, so neither a movie nor a frame has to fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from tlseg.errors import LabelError
from tlseg.geometry import Grid, Shape, Spacing, slab
from tlseg.store.image.movie import MovieSource

SOFTWARE = "tlseg"
"""Tag of every file written here, which tells an export, which may be replaced, from someone's images."""

MOST_UINT16 = int(np.iinfo(np.uint16).max)
MOST_UINT32 = int(np.iinfo(np.uint32).max)
SLAB_BYTES = 64 * 2**20
_IMAGEJ_BYTES = 2**32 - 2**20  # ImageJ's hyperstacks have 32-bit offsets

Planes = Iterator[npt.NDArray[np.generic]]


def write_stacks(
    labels: MovieSource, folder: Path, *, prefix: str, first: int = 0, progress: Callable[[int, int], None]
) -> None:
    """Write `PREFIX_t0000.tif`, one file per frame.

    Labels up to 65,535 become uint16 ImageJ hyperstacks with spacing and unit. ImageJ has no uint32, so greater labels
    become uint32 OME-TIFF (`.ome.tif`), which Bio-Formats and every TIFF library read without loss. All frames have one
    data type, so the pixels are read twice: labels edited by hand may be greater than any in the table.

    Parameters
    ----------
    labels : MovieSource
        The label movie.
    folder : Path
        New folder.
    prefix : str
        Start of the file names.
    first : int
        Number of the first frame in its movie, from which file names count.
    progress : callable
        Called with (done, total) frames.

    Raises
    ------
    LabelError
        If a label is negative or more than 32 bits hold.
    """
    suffix, dtype = ("tif", "uint16") if _greatest(labels) <= MOST_UINT16 else ("ome.tif", "uint32")
    folder.mkdir()
    digits = max(4, len(str(first + labels.n_frames - 1)))
    progress(0, labels.n_frames)
    for frame in range(labels.n_frames):
        write_stack(
            folder / f"{prefix}_t{first + frame:0{digits}d}.{suffix}",
            (plane.astype(dtype) for plane in planes(labels, frame)),
            shape=labels.frame_shape,
            dtype=dtype,
            spacing_um=labels.spacing_um,
            interval_s=labels.interval_s,
            is_2d=labels.is_2d,
        )
        progress(frame + 1, labels.n_frames)


def write_stack(
    path: Path,
    pixels: Planes,
    *,
    shape: Shape,
    dtype: str,
    spacing_um: Spacing,
    interval_s: float | None,
    is_2d: bool,
) -> None:
    """Write the planes (y, x) of one frame: uint16 as ImageJ hyperstack, uint32 (or over 4 GiB) as OME-TIFF."""
    z, y, x = spacing_um
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    axes, target_shape = ("YX", shape[1:]) if is_2d else ("ZYX", shape)
    if dtype == "uint16" and size <= _IMAGEJ_BYTES:
        depth = {} if is_2d else {"spacing": z}
        time = {} if interval_s is None else {"finterval": interval_s, "tunit": "s"}
        tifffile.imwrite(
            path,
            pixels,
            shape=target_shape,
            dtype=dtype,
            imagej=True,
            software=SOFTWARE,
            compression="zlib",
            resolution=(1 / x, 1 / y),
            metadata={"axes": axes, "unit": "um", **depth, **time},
        )
        return
    sizes = dict(zip("XYZ", (x, y, z), strict=True))
    known = {f"PhysicalSize{a}": sizes[a] for a in axes} | {f"PhysicalSize{a}Unit": "µm" for a in axes}
    tifffile.imwrite(
        path,
        pixels,
        shape=target_shape,
        dtype=dtype,
        ome=True,
        software=SOFTWARE,
        bigtiff=size > _IMAGEJ_BYTES,
        compression="zlib",
        metadata={"axes": axes, **known},
    )


def is_exported(path: Path) -> bool:
    """Whether a file was written by `write_stack`, and by nothing else since."""
    try:
        with tifffile.TiffFile(path) as tif:
            return tif.pages.first.software == SOFTWARE
    except (OSError, ValueError, IndexError):
        return False


def planes(
    labels: MovieSource, frame: int, *, renumber: Callable[..., npt.NDArray[np.generic]] | None = None
) -> Planes:
    """Yield the planes (y, x) of a frame, read in slabs; `renumber` changes a slab (z, y, x) before it is cut."""
    for box in slabs(labels):
        part = labels.read(frame, box)
        yield from part if renumber is None else renumber(part)


def _greatest(labels: MovieSource) -> int:
    greatest = 0
    for frame in range(labels.n_frames):
        for box in slabs(labels):
            part = labels.read(frame, box)
            low, high = part.min(), part.max()
            if not (low >= 0 and high <= MOST_UINT32):
                raise LabelError(
                    f"Frame {frame} has labels from {low:g} to {high:g}. TIFF stacks hold 0 (background) to {MOST_UINT32}; "
                    "renumber them."
                )
            greatest = max(greatest, int(high))
    return greatest


def slabs(labels: MovieSource) -> Grid:
    """Whole planes of a frame, as many at once as fit the memory bound."""
    shape = labels.frame_shape
    return Grid(shape, slab(shape, unit=(1, *shape[1:]), most=SLAB_BYTES // np.dtype(labels.dtype).itemsize))
