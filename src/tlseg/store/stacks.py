"""Stacks in single files, and the layout in which BBBC050 hands out embryos with truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tlseg.errors import TrainingError

BBBC050_SPACING_UM = (1.75, 0.8, 0.8)
"""Voxel spacing (z, y, x) of the BBBC050 training embryos (Tokuoka et al. 2020, Methods)."""


@dataclass(frozen=True, slots=True)
class PairPath:
    """Files of one image stack and its instance labels; `group` names the embryo, which is never split."""

    name: str
    group: str
    image: Path
    labels: Path


def read_stack(path: Path) -> NDArray[Any]:
    """Read a TIFF stack (z, y, x).

    Raises
    ------
    TrainingError
        When the file is not a readable stack.
    """
    try:
        stack: NDArray[Any] = np.squeeze(tifffile.imread(path))
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise TrainingError(f"{path} cannot be read as a TIFF stack: {error}") from error
    if stack.ndim != 3:
        raise TrainingError(f"{path} holds {stack.ndim} axes; a stack (z, y, x) is expected.")
    return stack


def find_pairs(folder: str | Path) -> list[PairPath]:
    """Image and label stacks below `folder`, by name: BBBC050's folders, or `images/` and `labels/`.

    A group is the part of the name before the first underscore (`Emb07_t201` belongs to `Emb07`).
    """
    folder = Path(folder)
    layouts = (
        (folder / "Images/train/Images", folder / "GroundTruth/train/GroundTruth_QCANet"),
        (folder / "images", folder / "labels"),
    )
    for images, labels in layouts:
        if not (images.is_dir() and labels.is_dir()):
            continue
        pairs = [
            PairPath(path.stem, path.stem.split("_")[0], path, labels / path.name)
            for path in sorted(images.glob("*.tif*"))
        ]
        missing = [p.name for p in pairs if not p.labels.is_file()]
        if missing:
            raise TrainingError(
                f"{len(missing)} images in {images} have no labels of the same name, first {missing[0]}."
            )
        if pairs:
            return pairs
    raise TrainingError(
        f"{folder} holds no training pairs. Expected images/*.tif with labels/*.tif of the same names, or BBBC050's "
        "Images/train/Images with GroundTruth/train/GroundTruth_QCANet."
    )
