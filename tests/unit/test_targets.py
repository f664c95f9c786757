"""What networks learn, from labels alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from tlseg.store.labels.pairs import find_pairs, read_pair
from tlseg.train.targets import ball_target, centre_target, centroids, mask_target, target_of

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


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint32, 4_000_000_000), (np.uint64, 2**64 - 1), (np.int64, 2**62)])
def test_numbers_of_nuclei_are_names_and_no_sizes(dtype: type, largest: int) -> None:
    few = two_touching()
    many = np.where(few == 2, dtype(largest), few.astype(dtype))
    assert np.array_equal(centre_target(many, SPACING), centre_target(few, SPACING))
    assert (centre_target(np.where(few == 0, dtype(largest), dtype(1)), SPACING) > 0).all()


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


def test_balls_have_33_voxels_around_centroids() -> None:
    labels = two_touching()
    target = target_of("ball", labels, spacing_um=SPACING, grid_um=(1.6, 0.8, 0.8))
    parts, number = ndimage.label(target)
    assert number == 2
    assert np.bincount(parts.ravel())[1:].tolist() == [33, 33]
    assert np.array_equal(centroids(parts), np.rint(centroids(labels)))


def test_balls_are_as_large_as_the_grid_sees_them() -> None:
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[10:30, 10:30, 10:30] = 1
    target = target_of("ball", labels, spacing_um=(0.8, 0.4, 0.4), grid_um=(1.6, 0.8, 0.8))
    assert 8 * 33 * 0.85 < target.sum() < 8 * 33 * 1.15


def test_balls_are_cut_at_the_edge() -> None:
    labels = np.zeros((5, 6, 7), dtype=np.uint8)
    labels[0, 0, 0] = 3
    assert ball_target(labels).sum() == 11


def test_balls_are_those_of_the_published_truth(data: Path) -> None:
    root = data / "bbbc050"
    (path,) = [p for p in find_pairs(root) if p.name == "Emb07_t301"]
    published = tifffile.imread(root / "GroundTruth/train/GroundTruth_NDN/Emb07_t301.tif") > 0
    ours, theirs = (ndimage.label(b)[0] for b in (ball_target(read_pair(path)[1]), published))
    assert np.bincount(ours.ravel())[1:].tolist() == np.bincount(theirs.ravel())[1:].tolist() == [33] * 8
    far = np.abs(centroids(ours)[:, None] - centroids(theirs)).max(axis=-1)
    assert (far.min(axis=1) <= 1).all()
