"""What should a network output? All targets come from instance labels alone, so nobody draws centres.

NSN learns the mask. NDN learns a heat map that is 1 deep inside each nucleus and falls to 0 at its surface: the distance
to the nearest voxel outside the instance, divided by its maximum in that instance (as object probability in
Weigert et al. 2020). Centres of touching nuclei stay apart, and unlike a small ball it teaches every voxel something.
The ball of the original is there for comparison.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Spacing
from tlseg.train.settings import Target

BALL_RADIUS_VOXELS = 2.0
"""Balls of 33 voxels (Tokuoka et al. 2020, Methods; so in BBBC050's centre truth)."""


def target_of(kind: Target, labels: NDArray[Any], *, spacing_um: Spacing, grid_um: Spacing) -> NDArray[np.float32]:
    """Target (z, y, x) in [0, 1] of labels of `spacing_um` for a network that learns at `grid_um`."""
    if kind == "mask":
        return mask_target(labels)
    if kind == "centre":
        return centre_target(labels, spacing_um)
    z, y, x = (BALL_RADIUS_VOXELS * max(1.0, g / s) for g, s in zip(grid_um, spacing_um, strict=True))
    return ball_target(labels, radius_voxels=(z, y, x))


def mask_target(labels: NDArray[Any]) -> NDArray[np.float32]:
    """1 inside nuclei, 0 outside; (z, y, x)."""
    return (labels > 0).astype(np.float32)


def centre_target(labels: NDArray[Any], spacing_um: Spacing) -> NDArray[np.float32]:
    """Heat map of nuclear centres (z, y, x) in [0, 1]; 1 at the voxel of each instance that lies deepest.

    The frame's edge is not an outside: a nucleus cut by it keeps its depth.
    """
    heat = np.zeros(labels.shape, dtype=np.float32)
    # Numbered from 1 without gaps: memory follows the nuclei there are, not the largest number.
    nuclei = labels > 0
    numbered = np.zeros(labels.shape, dtype=np.int32)
    numbered[nuclei] = np.unique(labels[nuclei], return_inverse=True)[1] + 1
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        wide = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        inside = numbered[wide] == number
        if inside.all():
            heat[wide] = 1.0
            continue
        depth = ndimage.distance_transform_edt(inside, sampling=spacing_um)
        heat[wide][inside] = (depth / depth.max())[inside]
    return heat


def ball_target(
    labels: NDArray[Any], *, radius_voxels: Spacing = (BALL_RADIUS_VOXELS, BALL_RADIUS_VOXELS, BALL_RADIUS_VOXELS)
) -> NDArray[np.float32]:
    """1 in a ball around the centroid of each instance (z, y, x), 0 elsewhere; cut at the frame's edge."""
    balls = np.zeros(labels.shape, dtype=np.float32)
    for centre in np.rint(centroids(labels)).astype(int):
        reach = [int(r) for r in radius_voxels]
        box = tuple(
            slice(max(0, c - r), min(n, c + r + 1)) for c, r, n in zip(centre, reach, labels.shape, strict=True)
        )
        place = np.ogrid[box]
        far = sum(((p - c) / r) ** 2 for p, c, r in zip(place, centre, radius_voxels, strict=True))
        balls[box][far <= 1 + 1e-9] = 1.0
    return balls


def centroids(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Centroids (n, 3) of instances, by number, in voxels (z, y, x)."""
    at = np.argwhere(labels > 0)
    numbers, inverse, counts = np.unique(labels[labels > 0], return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(inverse, weights=at[:, axis], minlength=len(numbers)) for axis in range(3)], axis=1)
    result: NDArray[np.float64] = sums / counts[:, None]
    return result
