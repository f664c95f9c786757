"""Which columns of a table of points give position, time and size?

Tables that tlseg wrote are taken in micrometres, whatever else they hold; one that has only voxels is refused.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.geometry import volume_um3
from tlseg.store.export.tables import UNITS, napari_columns

_OURS = {"t_frames": "t", "volume_um3": "volume", "intensity_mean": "intensity", UNITS["intensity_mean"]: "intensity"}
_PLACE = {f"{axis}_um": axis for axis in "zyx"}
_FLAT = ("y", "x", "y_um", "x_um", "volume_voxels", "bbox_z0", "bbox_z1")


def as_points(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return the table with its columns called as `link_points` has them.

    Parameters
    ----------
    table : DataFrame
        Points, or the nucleus table of a result: as it is stored, or as CSV with units in the header.
    where : str
        What it is, for messages.

    Raises
    ------
    LabelError
        If it is a napari tracks layer exported by tlseg, which is in voxels.
    """
    names = set(table.columns)
    if any(names == set(napari_columns(is_2d=flat)) for flat in (False, True)):
        raise LabelError(
            f"{where} is a tracks layer for napari, with positions in voxels, but linking needs micrometres. Give the table "
            "of the same result: tlseg export RESULT --format csv."
        )
    if {"y_um", "x_um"} <= names:
        table = table.drop(columns=[axis for axis in "zyx" if axis in names]).rename(columns=_PLACE)
    return table.rename(columns={old: new for old, new in _OURS.items() if old in names and new not in names})


def balls_of_planes(table: pd.DataFrame) -> NDArray[np.float64] | None:
    """Volumes (n,) in cubic micrometres of the balls whose cross sections are the nuclei of a movie of single planes.

    Volumes in such a table are areas times the thickness of a plane, which says nothing about the nuclei.

    Parameters
    ----------
    table : DataFrame
        As it was given, before `as_points`.

    Returns
    -------
    ndarray or None
        None if it is no nucleus table of tlseg, or one of stacks.
    """
    known = table.rename(columns={named: name for name, named in UNITS.items() if name in _FLAT})
    if not len(known) or not set(_FLAT) <= set(known.columns):
        return None
    numbers = known[list(_FLAT)].apply(pd.to_numeric, errors="coerce")
    if not numbers.notna().all(axis=None) or (numbers["bbox_z0"] != 0).any() or (numbers["bbox_z1"] != 1).any():
        return None
    spread = np.ptp(numbers[["y", "x", "y_um", "x_um"]].to_numpy(np.float64), axis=0)
    y, x = np.divide(spread[2:], spread[:2], out=np.zeros(2), where=spread[:2] > 0)
    return volume_um3(numbers["volume_voxels"], frame=(1, 1, 1), spacing_um=(1.0, y or x or 1.0, x or y or 1.0))
