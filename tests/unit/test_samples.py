"""Crops for training: a function of seed and number, and never image without its target."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tlseg.errors import TrainingError
from tlseg.geometry import Spacing
from tlseg.store.image.stacks import PairPath
from tlseg.train.augment import back, coarse_planes, interpolation, other_microscope
from tlseg.train.samples import Pair, batch, draw, fingerprint, load_pair
from tlseg.train.settings import SampleSettings

STILL = SampleSettings(
    crop=(16, 24, 20),
    gain=(1.0, 1.0),
    gamma=(1.0, 1.0),
    offset=(0.0, 0.0),
    noise=(0.0, 0.0),
    shot_noise=(0.0, 0.0),
    blur_z_voxels=(0.0, 0.0),
    blur_xy_voxels=(0.0, 0.0),
    attenuation=(0.0, 0.0),
    coarse_z=0.0,
    quantised=0.0,
)
"""Turned, zoomed and flipped, but intensities left as they are."""

SMALL = SampleSettings(crop=(8, 16, 16))


def pair(seed: int = 0, *, name: str = "a", shape: tuple[int, int, int] = (24, 40, 36)) -> Pair:
    """A pair whose target is its image."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2).astype(np.float32)
    values = (values - values.min()) / (values.max() - values.min())
    both = torch.from_numpy(values)[None, None].half()
    return Pair(name, "g", both, both.clone(), np.array([[12.0, 20.0, 18.0], [5.0, 8.0, 30.0]]), (1.75, 0.8, 0.8))


@pytest.mark.parametrize("number", range(8))
def test_image_and_target_are_cut_alike(number: int) -> None:
    image, target = draw([pair()], STILL, seed=0, number=number)
    assert image.shape == target.shape == STILL.crop
    assert np.abs(image.numpy() - target.numpy()).max() < 2e-3
    assert float(image.std()) > 0.02


def test_a_crop_is_a_function_of_seed_and_number() -> None:
    pairs = [pair(0), pair(1, name="b")]
    image, target = draw(pairs, SMALL, seed=3, number=17)
    draw(pairs, SMALL, seed=3, number=16)
    np.random.default_rng().random()
    torch.manual_seed(99)
    again, target_again = draw(pairs, SMALL, seed=3, number=17)
    assert torch.equal(image, again)
    assert torch.equal(target, target_again)
    for seed, number in ((3, 18), (4, 17)):
        assert not torch.equal(image, draw(pairs, SMALL, seed=seed, number=number)[0])


def test_batches_number_their_crops() -> None:
    pairs = [pair()]
    images, targets = batch(pairs, SMALL, seed=1, step=5, size=3)
    assert images.shape == (3, 1, 8, 16, 16)
    assert targets.shape == (3, 8, 16, 16)
    for i in range(3):
        image, target = draw(pairs, SMALL, seed=1, number=15 + i)
        assert torch.equal(images[i, 0], image)
        assert torch.equal(targets[i], target)


def test_targets_stay_probabilities_and_images_numbers() -> None:
    for number in range(20):
        image, target = draw([pair()], SMALL, seed=0, number=number)
        assert image.dtype == target.dtype == torch.float32
        assert bool(torch.isfinite(image).all())
        assert 0 <= float(target.min()) <= float(target.max()) <= 1


def test_past_the_edge_of_a_stack_its_target_continues_like_its_image() -> None:
    """Where the image goes on, a target that ends would teach that nuclei at an edge are background."""
    still = replace(STILL, crop=(32, 32, 32))
    image, target = draw([pair(shape=(4, 10, 9))], still, seed=0, number=0)
    assert image.shape == target.shape == (32, 32, 32)
    assert np.abs(image.numpy() - target.numpy()).max() < 2e-3
    assert float(image.std()) > 0.02


@pytest.mark.parametrize("number", range(4))
def test_a_crop_that_is_larger_than_the_stack_has_it_in_its_middle(number: int) -> None:
    depth = np.abs(np.arange(9) - 4.0)[:, None, None] + np.zeros((9, 12, 12))
    both = torch.from_numpy(depth)[None, None].half()
    settings = replace(STILL, crop=(20, 20, 20), zoom=(0.9, 0.9), spacing_um=(1.6, 0.8, 0.8))
    image, _ = draw([Pair("a", "g", both, both, np.zeros((0, 3)), (1.6, 0.8, 0.8))], settings, seed=0, number=number)
    np.testing.assert_allclose(image, image.flip(0), atol=2e-3)


def test_most_crops_hold_a_nucleus() -> None:
    image = torch.zeros(1, 1, 30, 60, 60).half()
    target = image.clone()
    target[0, 0, 2:6, 50:56, 4:10] = 1
    lonely = Pair(
        "a", "g", image + torch.rand(image.shape).half(), target, np.array([[4.0, 53.0, 7.0]]), (1.6, 0.8, 0.8)
    )

    def share(on_nucleus: float) -> float:
        settings = SampleSettings(crop=(8, 16, 16), on_nucleus=on_nucleus)
        return float(np.mean([float(draw([lonely], settings, seed=0, number=n)[1].max()) > 0.5 for n in range(30)]))

    assert share(1.0) > 0.9
    assert share(0.0) < 0.5


def test_pairs_are_normalised_and_have_centres(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 20, 22), dtype=np.uint8)
    labels[1:4, 2:9, 3:8] = 4
    labels[2:5, 11:18, 10:19] = 9
    image = (100 + 50 * (labels > 0) + rng.normal(0, 3, labels.shape)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "i.tif", image)
    tifffile.imwrite(tmp_path / "l.tif", labels)
    paths = PairPath("e_1", "e", tmp_path / "i.tif", tmp_path / "l.tif", (1.75, 0.8, 0.8))
    grid = (1.6, 0.8, 0.8)
    loaded = load_pair(paths, target="mask", grid_um=grid)
    assert loaded.centres.tolist() == [[2.0, 5.0, 5.0], [3.0, 14.0, 14.0]]
    assert float(loaded.image.float().median()) == pytest.approx(0, abs=0.05)
    assert np.array_equal(loaded.target[0, 0].numpy(), labels > 0)
    centre = load_pair(paths, target="centre", grid_um=grid).target[0, 0]
    assert float(centre[2, 5, 5]) == 1.0
    assert float(centre[labels == 0].max()) == 0.0
    tifffile.imwrite(tmp_path / "l.tif", labels[:-1])
    with pytest.raises(TrainingError, match=r"e_1: the image is \(6, 20, 22\) and its labels are \(5, 20, 22\)"):
        load_pair(paths, target="mask", grid_um=grid)


def ellipsoid(spacing_um: Spacing, centre_um: np.ndarray, *, radius_um: float) -> np.ndarray:
    """Labels (z, y, x) of one nucleus, a third longer along z, in a frame of 64 x 40 x 40 um."""
    sides = [np.arange(round(extent / s)) * s + s / 2 for extent, s in zip((64, 40, 40), spacing_um, strict=True)]
    z, y, x = np.meshgrid(*sides, indexing="ij")
    far = ((z - centre_um[0]) / 1.3) ** 2 + (y - centre_um[1]) ** 2 + (x - centre_um[2]) ** 2
    return (far < radius_um**2).astype(np.uint8)


def write_pair(folder: Path, labels: np.ndarray, spacing_um: Spacing) -> PairPath:
    tifffile.imwrite(folder / "l.tif", labels)
    noise = np.random.default_rng(0).integers(0, 9, labels.shape)
    tifffile.imwrite(folder / "i.tif", (100 * labels + noise).astype(np.uint16))
    return PairPath("e_1", "e", folder / "i.tif", folder / "l.tif", spacing_um)


@pytest.mark.parametrize(
    "spacing_um",
    [(1.2, 0.8, 0.8), (1.75, 0.8, 0.8), (2.0, 1.0, 1.0), (2.8, 0.8, 0.8), (1.0, 0.4, 0.4), (1.0, 0.5, 0.4)],
    ids=["1.5", "2.2", "2.0", "3.5", "fine", "oblong"],
)
def test_volumes_survive_resampling(tmp_path: Path, spacing_um: Spacing) -> None:
    rng = np.random.default_rng(0)
    still = replace(STILL, crop=(40, 48, 48), zoom=(1.0, 1.0), zoom_z=(1.0, 1.0))
    kept = []
    for number in range(6):
        labels = ellipsoid(spacing_um, np.array([32, 20, 20]) + rng.uniform(-1, 1, 3), radius_um=6.0)
        loaded = load_pair(write_pair(tmp_path, labels, spacing_um), target="mask", grid_um=still.spacing_um)
        _, target = draw([loaded], still, seed=0, number=number)
        kept.append(float(target.sum()) * np.prod(still.spacing_um) / (labels.sum() * np.prod(spacing_um)))
    assert np.mean(kept) == pytest.approx(1, abs=0.01)


def test_finer_stacks_are_held_no_finer_than_they_are_seen(tmp_path: Path) -> None:
    spacing_um = (0.5, 0.25, 0.25)
    labels = ellipsoid(spacing_um, np.array([30.0, 21.0, 19.0]), radius_um=6.0)
    loaded = load_pair(write_pair(tmp_path, labels, spacing_um), target="centre", grid_um=(1.6, 0.8, 0.8))
    assert loaded.spacing_um == (1.6, 0.8, 0.8)
    assert loaded.image.shape == loaded.target.shape == (1, 1, 40, 50, 50)
    assert loaded.image.dtype == torch.float16
    (centre,) = loaded.centres
    assert (centre + 0.5) * loaded.spacing_um == pytest.approx([30, 21, 19], abs=0.3)
    deepest = np.unravel_index(int(loaded.target.argmax()), loaded.target.shape[2:])
    assert np.abs(np.array(deepest) - centre).max() <= 1.5


def test_the_fingerprint_is_that_of_the_data() -> None:
    pairs = [pair(0), pair(1, name="b")]
    assert fingerprint(pairs) == fingerprint([pair(0), pair(1, name="b")])
    changed = pairs[1].target.clone()
    changed[0, 0, 1, 2, 3] += 0.01
    others = [pairs[::-1], pairs[:1], [pairs[0], replace(pairs[1], target=changed)], [pairs[0], pair(2, name="b")]]
    # Joined labels may leave a mask as it is, and yet other crops are drawn.
    others.append([pairs[0], replace(pairs[1], centres=pairs[1].centres[:-1])])
    assert len({fingerprint(p) for p in [pairs, *others]}) == 6


def test_simulated_embryos_have_their_share() -> None:
    dark, bright = (pair(n, name=str(n)) for n in (0, 1))
    simulated = replace(bright, image=bright.image + 100, origin="simulated")
    for share in (0.0, 0.25, 1.0):
        settings = replace(STILL, crop=(8, 8, 8), simulated=share)
        images = [float(draw([dark, simulated], settings, seed=0, number=n)[0].max()) for n in range(60)]
        found = np.mean([value > 50 for value in images])
        assert found == pytest.approx(share if share else 0.5, abs=0.15)


def test_only_planes_further_apart_are_interpolated() -> None:
    image = np.random.default_rng(0).random((16, 8, 8)).astype(np.float32)
    near, far = (replace(STILL, coarse_z=1.0, z_ratio=(r, r)) for r in (2.0, 3.5))
    rng = np.random.default_rng
    assert np.array_equal(other_microscope(image, near, rng(0)), other_microscope(image, STILL, rng(0)))
    smooth = other_microscope(image, far, rng(0))
    assert np.abs(np.diff(smooth, 2, axis=0)).mean() < 0.6 * np.abs(np.diff(image, 2, axis=0)).mean()


@given(step=st.floats(1.01, 4), phase=st.floats(0, 0.999), count=st.integers(4, 40))
def test_coarse_planes_keep_what_is_linear_along_z(step: float, phase: float, count: int) -> None:
    planes = coarse_planes(count, step, phase)
    there, again = interpolation(planes, count), back(planes, count)
    for weights in (there, again):
        assert np.allclose(weights.sum(axis=1), 1, atol=1e-5)
        assert (weights >= 0).all()
    depth = np.arange(count)
    inside = (depth >= np.ceil(step)) & (depth <= count - 1 - np.ceil(step))
    assert np.allclose((again @ there @ depth)[inside], depth[inside], atol=1e-3)


def test_few_grey_levels_are_few() -> None:
    image = np.linspace(0, 1, 16 * 64).reshape(16, 8, 8).astype(np.float32)
    settings = replace(STILL, quantised=1.0, grey_levels=(24, 24))
    values = other_microscope(image, settings, np.random.default_rng(0))
    assert len(np.unique(values)) == 25


@pytest.mark.parametrize(
    "change",
    [
        {"zoom": (1.2, 0.8)},
        {"noise": (-0.1, 0.2)},
        {"noise": (0, math.inf)},
        {"coarse_z": 1.5},
        {"gain": (1.0,)},
        {"crop": (8, 8.5, 8)},
    ],
)
def test_ranges_that_are_none_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=next(iter(change))):
        SampleSettings(**change)


def test_markers_cannot_teach_outlines(tmp_path: Path) -> None:
    spacing_um = (1.75, 0.8, 0.8)
    labels = ellipsoid(spacing_um, np.array([32.0, 20.0, 20.0]), radius_um=2.0)
    path = replace(write_pair(tmp_path, labels, spacing_um), truth="markers")
    assert load_pair(path, target="ball", grid_um=(1.6, 0.8, 0.8)).target.sum() == 33
    with pytest.raises(TrainingError, match="not their outlines"):
        load_pair(path, target="mask", grid_um=(1.6, 0.8, 0.8))


def test_a_hot_pixel_stays_a_number(tmp_path: Path) -> None:
    """Scaled by what is bright elsewhere, it may be more than float16 holds; times 0, infinity is not a number."""
    labels = ellipsoid((1.6, 0.8, 0.8), np.array([32.0, 20.0, 20.0]), radius_um=6.0)
    path = write_pair(tmp_path, labels, (1.6, 0.8, 0.8))
    image = labels.astype(np.float32) + np.random.default_rng(0).normal(0, 0.01, labels.shape).astype(np.float32)
    image[20, 25, 25] = 1e6
    tifffile.imwrite(path.image, image)
    loaded = load_pair(path, target="mask", grid_um=(1.6, 0.8, 0.8))
    assert bool(torch.isfinite(loaded.image).all())
    assert bool(torch.isfinite(draw([loaded], replace(STILL, crop=(40, 48, 48)), seed=0, number=0)[0]).all())
