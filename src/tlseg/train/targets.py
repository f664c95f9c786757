"""What should a network answer? Both targets come from instance labels alone, so nobody draws centres.

NSN learns the mask. NDN learns a heat map that is 1 deep inside each nucleus and falls to 0 at its surface: the distance
to the nearest voxel outside the instance, divided by its maximum in that instance (as object probability in
Weigert et al. 2020). Centres of touching nuclei stay apart, and unlike a small ball it teaches every voxel something.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Spacing


def mask_target(labels: NDArray[Any]) -> NDArray[np.float32]:
    """1 inside nuclei, 0 outside; (z, y, x)."""
    return (labels > 0).astype(np.float32)


def centre_target(labels: NDArray[Any], spacing_um: Spacing) -> NDArray[np.float32]:
    """Heat map of nuclear centres (z, y, x) in [0, 1]; 1 at the voxel of each instance that lies deepest.

    The frame's edge is not an outside: a nucleus cut by it keeps its depth.
    """
    heat = np.zeros(labels.shape, dtype=np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        wide = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        inside = labels[wide] == number
        if inside.all():
            heat[wide] = 1.0
            continue
        depth = ndimage.distance_transform_edt(inside, sampling=spacing_um)
        heat[wide][inside] = (depth / depth.max())[inside]
    return heat
