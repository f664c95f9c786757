"""What networks learn, from labels alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tlseg.train.targets import centre_target, mask_target

SPACING = (1.75, 0.8, 0.8)


def two_touching() -> np.ndarray:
    """Two balls that share a face, cut at x = 20."""
    z, y, x = np.indices((15, 30, 40))
    labels = np.zeros((15, 30, 40), dtype=np.uint8)
    for number, middle in ((1, 13), (2, 27)):
        inside = ((z - 7) * 1.75) ** 2 + ((y - 15) * 0.8) ** 2 + ((x - middle) * 0.8) ** 2 < 7.0**2
        labels[inside & ((x < 20) == (number == 1))] = number
    return labels


def test_masks_are_one_inside() -> None:
    labels = two_touching()
    target = mask_target(labels)
    assert target.dtype == np.float32
    assert np.array_equal(target, labels > 0)


def test_each_nucleus_has_a_one_at_its_deepest_voxel_and_none_outside() -> None:
    labels = two_touching()
    target = centre_target(labels, SPACING)
    assert target.dtype == np.float32
    assert (target[labels == 0] == 0).all()
    assert (target[labels > 0] > 0).all()
    for number in (1, 2):
        inside = labels == number
        depth = ndimage.distance_transform_edt(inside, sampling=SPACING)
        assert target[inside].max() == 1.0
        assert np.allclose(target[inside], (depth / depth.max())[inside])
        assert (target == 1.0)[inside & (depth == depth.max())].all()


def test_touching_nuclei_stay_apart() -> None:
    labels = two_touching()
    assert ndimage.label(labels > 0)[1] == 1
    parts, number = ndimage.label(centre_target(labels, SPACING) >= 0.5)
    assert number == 2
    assert len({parts[7, 15, 13], parts[7, 15, 27]} - {0}) == 2


def test_the_edge_of_the_frame_is_not_an_outside() -> None:
    labels = np.zeros((9, 9, 9), dtype=np.uint16)
    labels[:, :, :5] = 6
    target = centre_target(labels, (1.0, 1.0, 1.0))
    assert (target[:, :, 0] == 1).all()
    assert np.allclose(target[4, 4], [1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0])
    assert (centre_target(np.full((3, 4, 5), 2), (1.0, 1.0, 1.0)) == 1).all()


def test_a_frame_without_nuclei_is_dark() -> None:
    nothing = np.zeros((3, 4, 5), dtype=np.uint8)
    assert not centre_target(nothing, SPACING).any()
    assert not mask_target(nothing).any()
