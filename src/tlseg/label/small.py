"""Which instances are too small to be nuclei?

Decided once per frame, on whole instances and their volumes in voxels, so it does not matter how the frame was cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.config import LabelSettings
from tlseg.geometry import Shape, Spacing, volume_um3


def large_enough(
    voxels: NDArray[Any], *, frame: Shape, spacing_um: Spacing, settings: LabelSettings
) -> NDArray[np.bool_]:
    """Which instances of a frame (z, y, x) to keep, from their voxels (n,).

    First those below `minimum_volume_um3` are dropped, then those below `minimum_volume_fraction` of the median of the rest.
    """
    volumes = volume_um3(voxels, frame=frame, spacing_um=spacing_um)
    kept: NDArray[np.bool_] = volumes >= settings.minimum_volume_um3
    if settings.minimum_volume_fraction > 0:
        sizes = voxels if frame[0] > 1 else volumes  # where they can be whole numbers, no rounding decides
        kept &= sizes >= settings.minimum_volume_fraction * median_volume(sizes[kept])
    return kept


def median_volume(volumes: NDArray[Any]) -> float:
    """Median volume of instances, the upper of two; 0 if there are none.

    A few merged nuclei do not move it, as they would a mean or a median over voxels, which would then drop true nuclei.
    Where debris outnumbers the nuclei it is debris, and nothing is dropped.
    """
    return float(np.sort(volumes)[len(volumes) // 2]) if len(volumes) else 0.0
