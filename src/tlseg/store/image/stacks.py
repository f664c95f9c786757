"""Which TIFF stacks have truth beside them? BBBC050 as distributed, `images/` and `labels/`, and CTC folders.

A pair knows the group (embryo) it belongs to. Groups are what is held out of a training, so no group is ever split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from tlseg.errors import TrainingError, one_line
from tlseg.geometry import Spacing
from tlseg.store.image.tiff import Layout, PagesError, describe_tiff, tiffs_in
from tlseg.wording import how_many

BBBC050_SPACING_UM = (1.75, 0.8, 0.8)
"""Voxel spacing (z, y, x) of the BBBC050 training embryos (Tokuoka et al. 2020, Methods)."""

Truth = Literal["outlines", "markers"]

_SEQUENCE = re.compile(r"\d{2,3}")
_FRAME = re.compile(r"t(\d+)\.tiff?", re.IGNORECASE)
_FRAME_MARK = re.compile(r"(?:^|[-_. ]|(?<=\d))t\d+$", re.IGNORECASE)
"""A word that ends in t is not a frame mark: `part1` and `part2` are two movies."""
_TRUTH = re.compile(r"man_(?:seg|track)_?(\d+)\.tiff?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PairPath:
    """Where one image stack and its instance labels are.

    Attributes
    ----------
    name, group : str
        Name of the stack, and of the embryo, which is never split.
    image, labels : Path
        TIFF stacks; or an OME-Zarr movie and its label image.
    spacing_um : (z, y, x) float
        Voxel spacing, micrometres.
    frame, channel
        In an OME-Zarr movie.
    truth : {"outlines", "markers"}
        Whether labels are whole nuclei or only mark where they are.
    """

    name: str
    group: str
    image: Path
    labels: Path
    spacing_um: Spacing
    frame: int = 0
    channel: int | str | None = None
    truth: Truth = "outlines"


def read_stack(path: Path) -> NDArray[Any]:
    """Read a TIFF stack (z, y, x); a single plane is a stack of one.

    Raises
    ------
    TrainingError
        When the file is not a readable stack.
    """
    try:
        stack: NDArray[Any] = np.squeeze(tifffile.imread(path))
        stack = stack[None] if stack.ndim == 2 else stack
    except Exception as error:  # every codec has errors of its own
        raise TrainingError(f"{path} cannot be read as a TIFF stack ({one_line(error)}). Copy it again.") from error
    if stack.ndim != 3:
        raise TrainingError(f"{path} has {how_many(stack.ndim, 'axis', 'axes')}; expected a stack (z, y, x).")
    return stack


def bbbc050_pairs(folder: Path, *, spacing_um: Spacing | None) -> list[PairPath]:
    """Pairs in BBBC050's folders; its spacing is known. Empty if `folder` is not BBBC050."""
    images, labels = folder / "Images/train/Images", folder / "GroundTruth/train/GroundTruth_QCANet"
    return _named_alike(images, labels, spacing_um=spacing_um or BBBC050_SPACING_UM)


def folder_pairs(folder: Path, *, spacing_um: Spacing | None) -> list[PairPath]:
    """Pairs of the same name in `images/` and `labels/`. Empty if `folder` has no such folders.

    A group is the part of the name before the first underscore and before the number of a frame: `Emb07_t201`,
    `Emb07-t201` and `Emb07_left_t201` belong to `Emb07`, and `t201` to the folder.
    """
    return _named_alike(folder / "images", folder / "labels", spacing_um=spacing_um)


def ctc_pairs(folder: Path, *, spacing_um: Spacing | None) -> list[PairPath]:
    """Pairs of a Cell Tracking Challenge data set: `01/tNNN.tif` with whole frames of truth. Empty if it is not one.

    Truth is the gold one (`01_GT/SEG`), else the silver one (`01_ST/SEG`), else the markers in `01_GT/TRA`. Frames
    without truth are left out. Sequences are groups.
    """
    sequences = (
        sorted(p for p in folder.iterdir() if p.is_dir() and _SEQUENCE.fullmatch(p.name)) if folder.is_dir() else []
    )
    return [pair for sequence in sequences for pair in _sequence_pairs(sequence, spacing_um)]


def _sequence_pairs(sequence: Path, spacing_um: Spacing | None) -> list[PairPath]:
    places: tuple[tuple[str, Truth], ...] = (("GT/SEG", "outlines"), ("ST/SEG", "outlines"), ("GT/TRA", "markers"))
    for place, truth in places:
        below = sequence.parent / f"{sequence.name}_{place}"
        labels = {int(m[1]): f for f in tiffs_in(below) if (m := _TRUTH.fullmatch(f.name))}
        if labels:
            return _with_images(sequence, labels, truth, spacing_um)
    return []


def _with_images(sequence: Path, labels: dict[int, Path], truth: Truth, spacing_um: Spacing | None) -> list[PairPath]:
    pairs = []
    images = {int(m[1]): f for f in tiffs_in(sequence) if (m := _FRAME.fullmatch(f.name))}
    for number, path in sorted(labels.items()):
        if number not in images:
            raise TrainingError(f"{path} is the truth of frame {number}, but {sequence} has no image of that frame.")
        name = f"{sequence.name}_{images[number].stem}"
        spacing = spacing_um or _stated_spacing(images[number])
        pairs.append(PairPath(name, sequence.name, images[number], path, spacing, truth=truth))
    return pairs


def _named_alike(images: Path, labels: Path, *, spacing_um: Spacing | None) -> list[PairPath]:
    if not (images.is_dir() and labels.is_dir()):
        return []
    found = tiffs_in(images)
    missing = [f.stem for f in found if not (labels / f.name).is_file()]
    if missing:
        raise TrainingError(
            f"{images}: {how_many(len(missing), 'image has', 'images have')} no labels of the same name, first {missing[0]}."
        )
    groups = [_FRAME_MARK.sub("", f.stem).split("_")[0] or images.parent.name for f in found]
    return [
        PairPath(f.stem, group, f, labels / f.name, spacing_um or _stated_spacing(f))
        for f, group in zip(found, groups, strict=True)
    ]


def _stated_spacing(path: Path) -> Spacing:
    """Spacing that a TIFF itself states."""
    try:
        info = describe_tiff(path, layout=Layout(), unknown_pages="Z")
    except PagesError as error:
        raise TrainingError(
            f"{error} Expected one stack (z, y, x) of grey values; save each to a file of its own."
        ) from error
    z, y, x = info.spacing_um
    z = 1.0 if info.sizes["Z"] == 1 else z  # how thick a single plane is does not matter
    if z is None or y is None or x is None:
        raise TrainingError(
            f"{path} does not give its voxel size, which decides how large nuclei are. Give it in micrometres with "
            "--spacing Z,Y,X."
        )
    return (z, y, x)
