"""Which instances are too small to be nuclei?

Decided once per frame, on whole instances and their volumes in voxels, so it does not matter how the frame was cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.config import LabelSettings
from tlseg.geometry import Spacing


def large_enough(voxels: NDArray[Any], *, spacing_um: Spacing, settings: LabelSettings) -> NDArray[np.bool_]:
    """Which of a frame's instances are kept, from their volumes (n,) in voxels.

    First those below `minimum_volume_um3` go, then those below `minimum_volume_fraction` of the usual volume of the rest.
    """
    kept: NDArray[np.bool_] = voxels * float(np.prod(spacing_um)) >= settings.minimum_volume_um3
    if settings.minimum_volume_fraction > 0:
        kept &= voxels >= settings.minimum_volume_fraction * usual_volume(voxels[kept])
    return kept


def usual_volume(voxels: NDArray[Any]) -> int:
    """Volume of the instance that the middle voxel of the foreground belongs to; 0 where there is none.

    Half of the foreground lies in instances at least this large. Unlike the plain median it stays a nucleus where debris
    outnumbers the nuclei, as polar bodies do in an embryo of two cells.
    """
    if not len(voxels):
        return 0
    descending = np.sort(voxels)[::-1].astype(np.int64)
    gathered = np.cumsum(descending)
    return int(descending[np.searchsorted(2 * gathered, gathered[-1])])
