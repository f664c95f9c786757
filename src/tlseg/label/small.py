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
    """Which of a frame's instances to keep, from their volumes (n,) in voxels.

    First those below `minimum_volume_um3` are dropped, then those below `minimum_volume_fraction` of the median of the rest.
    """
    kept: NDArray[np.bool_] = voxels * float(np.prod(spacing_um)) >= settings.minimum_volume_um3
    if settings.minimum_volume_fraction > 0:
        kept &= voxels >= settings.minimum_volume_fraction * median_volume(voxels[kept])
    return kept


def median_volume(voxels: NDArray[Any]) -> int:
    """Median volume of instances, the upper of two; 0 if there are none.

    A few merged nuclei do not move it, as they would a mean or a median over voxels, which would then drop true nuclei.
    Where debris outnumbers the nuclei it is debris, and nothing is dropped.
    """
    return int(np.sort(voxels)[len(voxels) // 2]) if len(voxels) else 0
