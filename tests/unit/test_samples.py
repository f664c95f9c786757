"""Crops for training: a function of seed and number, and never image without its target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from tlseg.errors import TrainingError
from tlseg.store.stacks import PairPath
from tlseg.train.samples import Pair, batch, draw, load_pair
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
    # Past the frame's edge the image repeats and the target is empty: compare where the target says something.
    inside = ndimage.binary_erosion(target.numpy() > 0, iterations=2)
    assert inside.mean() > 0.1
    assert np.abs(image.numpy() - target.numpy())[inside].max() < 2e-3
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


def test_crops_larger_than_the_stack_are_filled_up() -> None:
    image, target = draw([pair(shape=(4, 10, 9))], SampleSettings(crop=(32, 32, 32)), seed=0, number=0)
    assert image.shape == (32, 32, 32)
    assert bool(torch.isfinite(image).all())
    assert float((target == 0).float().mean()) > 0.5


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
