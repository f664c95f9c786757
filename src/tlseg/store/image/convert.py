"""Make an OME-Zarr 0.5 movie from TIFFs, microscopes' own files or another OME-Zarr, once, whatever the size.

One slab of planes is in memory at a time; of a microscope's own file, one stack. A conversion that was stopped never looks
complete (`whole`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError
from tlseg.geometry import Spacing, as_spacing
from tlseg.store.fs.place import Place, place_of
from tlseg.store.image.image_writer import create_image
from tlseg.store.image.inputs import Input, open_inputs
from tlseg.store.image.pyramid import plan_pyramid, slabs
from tlseg.store.image.tiff import Layout
from tlseg.store.locks.whole import names_in, written_whole
from tlseg.wording import how_many

MARK = "converting.json"
"""Object present in an object store's OME-Zarr while a conversion writes it, or after it was stopped."""

SLAB_BYTES = 256 * 2**20  # pixels held at once; a slab is never less than one region

SQUARE = 1.2
"""Ratio of the voxel's sides along y and x above which they are doubted."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion wrote.

    Attributes
    ----------
    path : str
        The new movie.
    shape : (t, c, z, y, x)
        Its size at level 0.
    dtype : str
        Name of its data type.
    spacing_um : (z, y, x)
        Voxel spacing.
    interval_s : float or None
        Seconds between frames.
    levels : int
        Number of pyramid levels.
    channel_names : tuple of str
        One per channel.
    notes : tuple of str
        Notes for the user: which files these were, another spacing than theirs, an unknown interval or unit, a changed data
        type.
    is_2d : bool
        Whether the movie has no z axis.
    """

    path: str
    shape: tuple[int, int, int, int, int]
    dtype: str
    spacing_um: Spacing
    interval_s: float | None
    levels: int
    channel_names: tuple[str, ...]
    notes: tuple[str, ...]
    is_2d: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def convert(
    inputs: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    spacing_um: Sequence[float] | None = None,
    interval_s: float | None = None,
    layout: Layout | None = None,
    scene: str | None = None,
    channel_names: Sequence[str] | None = None,
    overwrite: bool = False,
    allow_missing: bool = False,
    allow_gaps: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Converted:
    """Convert TIFFs, a folder of them, a microscope's own file, or an OME-Zarr to an OME-Zarr 0.5 movie with a pyramid.

    Parameters
    ----------
    inputs : str, Path or iterable of them
        One TIFF; or several, one per time point; or a folder of them, in natural order; or one OME-Zarr; or one
        file that a plugin of BioIO reads (CZI, LIF, ND2, ...).
    out : str or Path
        The new movie, a path or a URL that ends in `.zarr`.
    spacing_um : (z, y, x) or (y, x) of float, optional
        Voxel spacing; by default from the file.
    interval_s : float, optional
        Seconds between frames; by default from the file.
    layout : Layout, optional
        The axes of the pages of plain TIFFs.
    scene : str, optional
        Which movie of a microscope's file, by name or by number from 0.
    channel_names : sequence of str, optional
        One per channel.
    overwrite : bool, default: False
        Replace an OME-Zarr at `out`; one in an object store is deleted as soon as the new one is begun.
    allow_missing : bool, default: False
        Accept missing chunks of an OME-Zarr input; they become its fill value.
    allow_gaps : bool, default: False
        Accept files with gaps in their numbering, as if they were evenly spaced in time.
    progress : callable, optional
        Called with (done, total) slabs.

    Raises
    ------
    MovieError
        If the input is not what it claims to be or lacks information; one line.
    RunError
        If the output cannot be written, or another start is writing it.
    """
    given = list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, str) else [inputs]
    target = place_of(out)
    check = partial(_check_target, target, overwrite)
    check()
    source = open_inputs(
        given,
        target=target.url,
        layout=layout or Layout(),
        scene=scene,
        allow_missing=allow_missing,
        allow_gaps=allow_gaps,
    )
    try:
        spacing = _spacing(source, spacing_um)
        interval = _positive(interval_s, "interval") or source.interval_s
        names = _channel_names(source, channel_names)
        pyramid = plan_pyramid(source.frame_shape, spacing_um=spacing, translation_um=source.translation_um)
        dtype = _target_dtype(source)
        with written_whole(target, mark=MARK, check=check) as part:
            writer = create_image(
                part,
                pyramid=pyramid,
                n_frames=source.n_frames,
                dtype=dtype.str,
                channel_names=names,
                is_2d=source.is_2d,
                interval_s=interval,
                start_s=source.start_s if interval_s is None else 0.0,
            )
            most = SLAB_BYTES // max(dtype.itemsize, source.dtype.itemsize)
            boxes = slabs(pyramid.regions, most_voxels=most)
            total = source.n_frames * len(names) * len(boxes)
            for done, (frame, channel, box) in enumerate(product(range(source.n_frames), range(len(names)), boxes)):
                progress(done, total)
                voxels = _cast(source.read(frame, channel, box), dtype, f"{source.name}, frame {frame}")
                writer.write(frame, box, voxels, channel=channel)
            progress(total, total)
            writer.finish()
    finally:
        source.close()
    return Converted(
        path=str(target),
        shape=(source.n_frames, len(names), *source.frame_shape),
        dtype=dtype.name,
        spacing_um=spacing,
        interval_s=interval,
        levels=len(pyramid.factors),
        channel_names=names,
        notes=(
            *_notes(source, dtype, spacing, interval, spacing_note=source.spacing_note if spacing_um is None else ""),
            *_lost_thickness(source, spacing_um),
        ),
        is_2d=source.is_2d,
    )


def _check_target(target: Place, overwrite: bool) -> None:
    if not target.name.endswith(".zarr"):
        raise MovieError(
            f"{target.name} is the last argument, so it is the output. Expected a name that ends in .ome.zarr."
        )
    names = names_in(target)
    if names is None or (target.remote and MARK in names):
        return
    if not {"zarr.json", ".zgroup", ".zattrs", ".zarray"} & set(names):
        raise MovieError(f"{target} exists and is not an OME-Zarr, so it is not replaced. Choose another output.")
    if not overwrite:
        raise MovieError(f"{target} exists. Use --overwrite to replace it, or choose another output.")


def _spacing(source: Input, given: Sequence[float] | None) -> Spacing:
    if given is not None:
        return as_spacing(given, is_2d=source.is_2d, error=MovieError)
    z, y, x = source.spacing_um
    z = 1.0 if source.is_2d else z
    if z is None or y is None or x is None:
        known = [f"{a} {v:g}" for a, v in zip("zyx", (z, y, x), strict=True) if v is not None and not source.is_2d]
        says = f"gives only {', '.join(known)} of" if known else "does not give"
        order = "Y,X" if source.is_2d else "Z,Y,X"
        raise MovieError(f"{source.name} {says} its voxel size. Give it in micrometres with --spacing {order}.")
    return (z, y, x)


def _lost_thickness(source: Input, given: Sequence[float] | None) -> Iterator[str]:
    """What is not kept of a given spacing where there is no z axis."""
    if source.is_2d and given is not None and len(given) == 3 and given[0] != 1:
        yield f"without a z axis, planes are 1 um thick: volumes are areas times 1 um; {given[0]:g} um along z is not used"


def _doubts(source: Input, spacing: Spacing) -> Iterator[str]:
    """Reasons to doubt a voxel spacing: a different one in the files, and pixels that are not square."""
    letters = "yx" if source.is_2d else "zyx"
    said = dict(zip("zyx", source.spacing_um, strict=True))
    used = dict(zip("zyx", spacing, strict=True))
    if any(
        size is not None and not math.isclose(size, used[a], rel_tol=0.01) for a, size in said.items() if a in letters
    ):
        theirs = ", ".join("unknown" if said[a] is None else f"{said[a]:g}" for a in letters)
        ours = ", ".join(f"{used[a]:g}" for a in letters)
        yield f"the files give a spacing of {theirs} um ({', '.join(letters)}); {ours} was given and is used"
    if max(used["y"], used["x"]) > SQUARE * min(used["y"], used["x"]):
        yield (
            f"voxels are {used['y']:g} um along y and {used['x']:g} um along x, which is rare; the order of --spacing is "
            f"{','.join(letters).upper()}"
        )


def _positive(value: float | None, what: str) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise MovieError(f"The {what} {value} was given. Expected a positive number.")
    return value


def _channel_names(source: Input, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None and len(given) != len(source.channel_names):
        raise MovieError(
            f"{how_many(len(given), 'channel name was', 'channel names were')} given, but {source.name} has "
            f"{how_many(len(source.channel_names), 'channel')}."
        )
    return tuple(given) if given is not None else source.channel_names


def _target_dtype(source: Input) -> np.dtype[Any]:
    changed = {"float64": "float32", "float16": "float32", "bool": "uint8", "int8": "int16"}
    name = source.dtype.name
    if name in ("uint8", "uint16", "int16", "float32"):
        return np.dtype(name)
    if name in ("int32", "uint32", "int64", "uint64"):
        return np.dtype("uint16")
    if name not in changed:
        raise MovieError(f"{source.name} has {name} pixels. Expected grey values: integers, floats or booleans.")
    return np.dtype(changed[name])


def _cast(voxels: npt.NDArray[np.generic], dtype: np.dtype[Any], where: str) -> npt.NDArray[np.generic]:
    if voxels.dtype.kind in "ui" and voxels.dtype.itemsize > 2 and voxels.size:
        low, high = int(voxels.min()), int(voxels.max())
        limits = np.iinfo(dtype)
        if low < limits.min or high > limits.max:
            raise MovieError(
                f"{where} holds {voxels.dtype} pixels from {low} to {high}. Expected {limits.min} to {limits.max}, which "
                f"fits {dtype}; rescale them first."
            )
    with np.errstate(over="ignore"):
        cast = voxels.astype(dtype, copy=False)
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise MovieError(
            f"{where} holds NaN or infinite pixels, or some beyond what {dtype} holds. Expected numbers; replace or "
            "rescale them first."
        )
    return cast


def _notes(
    source: Input, dtype: np.dtype[Any], spacing: Spacing, interval_s: float | None, *, spacing_note: str
) -> tuple[str, ...]:
    notes = [*source.notes]
    if spacing_note:
        notes.append(f"{spacing_note}; give another with --spacing {'Y,X' if source.is_2d else 'Z,Y,X'}")
    if dtype != source.dtype:
        notes.append(f"pixels were {source.dtype.name}, are now {dtype.name}")
    if interval_s is None and source.n_frames > 1:
        notes.append("the time between frames is unknown; give it with --interval SECONDS")
    return (*notes, *_doubts(source, spacing))
