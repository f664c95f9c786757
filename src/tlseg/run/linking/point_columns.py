"""Which columns of a table of points give position, time and size?

Tables that tlseg wrote are taken in micrometres, whatever else they hold; one that has only voxels is refused.
"""

from __future__ import annotations

import pandas as pd

from tlseg.errors import LabelError
from tlseg.store.export.tables import UNITS, napari_columns

_OURS = {"t_frames": "t", "volume_um3": "volume", "intensity_mean": "intensity", UNITS["intensity_mean"]: "intensity"}
_PLACE = {f"{axis}_um": axis for axis in "zyx"}


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
