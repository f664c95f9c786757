"""The published pipeline, for comparison: windows leave no gap, and `> 0` after resizing is what makes nuclei too large."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainer_files import random_snapshot, save_npz
from tlseg.models.unet import UNet, UNetConfig


@pytest.fixture(scope="module")
def published() -> Iterator[ModuleType]:
    """The script benchmarks/published.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        import published

        yield published
    for name in ("published", "machine"):
        sys.modules.pop(name, None)


def balls(shape: tuple[int, int, int], centres: list[tuple[int, int, int]], radius_um: float) -> np.ndarray:
    place = np.indices(shape) * np.array([1.75, 0.8, 0.8])[:, None, None, None]
    labels = np.zeros(shape, np.uint8)
    for number, centre in enumerate(centres, 1):
        middle = (np.array(centre) * [1.75, 0.8, 0.8])[:, None, None, None]
        labels[((place - middle) ** 2).sum(axis=0) <= radius_um**2] = number
    return labels


@given(shape=st.tuples(*[st.integers(3, 40)] * 3), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_windows_tile_the_stack(published: ModuleType, shape: tuple[int, int, int], seed: int) -> None:
    """A network that looks at single voxels gives the same mask as without windows."""
    image = np.random.default_rng(seed).random(shape).astype(np.float32)
    mask = published.predict(lambda window: window > 0.5, image, side=16, stride=8)
    assert np.array_equal(mask, image > 0.5)


def test_the_published_lattice_has_27_windows_for_one_stack(published: ModuleType) -> None:
    shape = published.isotropic_shape((51, 120, 122))
    assert shape == (111, 120, 122)
    assert len(published.window_starts(shape)) == 27


def test_resizing_makes_nuclei_too_large_only_by_the_published_rule(published: ModuleType) -> None:
    labels = balls((24, 40, 40), [(12, 20, 20)], radius_um=6.0)
    wide = published.isotropic_shape(labels.shape)
    volume = {}
    for rule in published.RULES:
        there = published.back(labels > 0, wide, rule=rule)
        volume[rule] = published.back(there, labels.shape, rule=rule).sum() / (labels > 0).sum()
    assert abs(volume["half"] - 1) < 0.01
    assert volume["positive"] > 1.25


def test_perfect_masks_give_the_truth_back_at_one_half(published: ModuleType) -> None:
    labels = balls((24, 48, 48), [(8, 14, 14), (14, 30, 32), (16, 12, 36)], radius_um=5.0)
    wide = published.isotropic_shape(labels.shape)
    centres = balls((24, 48, 48), [(8, 14, 14), (14, 30, 32), (16, 12, 36)], radius_um=2.0) > 0
    masks = published.Masks(published.back(labels > 0, wide, rule="half"), published.back(centres, wide, rule="half"))
    found = published.instances(masks, labels.shape, rule="half")
    assert found.max() == 3
    assert (found > 0).sum() == pytest.approx((labels > 0).sum(), rel=0.01)
    assert all(len(np.unique(found[labels == n])) <= 2 for n in (1, 2, 3))


def test_without_centres_regions_are_labelled(published: ModuleType) -> None:
    labels = balls((20, 40, 40), [(6, 10, 10), (12, 28, 28)], radius_um=4.0)
    masks = published.Masks(labels > 0, np.zeros(labels.shape, bool))
    assert published.instances(masks, labels.shape, rule="half").max() == 2


def test_batch_norms_use_the_statistics_of_the_window_alone(published: ModuleType) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(levels=2, kernel=3, base=2, output="softmax"))
    with torch.no_grad():
        sign = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(1, 4, 1, 1, 1)
        network.head.weight.copy_(torch.cat([sign, -sign]))
        network.head.bias.zero_()
    window = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    run = published.as_published(network)
    before = run(window)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.add_(3.0)
    assert np.array_equal(run(window), before)
    assert before.any()
    assert not before.all()


def test_labels_are_made_once_for_the_same_weights(published: ModuleType, tmp_path: Path) -> None:
    files = [
        save_npz(tmp_path / f"{role}.npz", random_snapshot(levels, base=1, kernel=3, seed=levels))
        for role, levels in (("nsn", 2), ("ndn", 3))
    ]
    image = np.random.default_rng(1).integers(90, 900, (6, 20, 20)).astype(np.uint16)
    made = published.LabelledStacks(*files, folder=tmp_path / "out")
    first = made.labels(lambda: image, name="a", rule="half")
    assert first.shape == image.shape

    def never() -> np.ndarray:
        raise AssertionError("labels that are there were made again")

    again = published.LabelledStacks(*files, folder=tmp_path / "out")
    assert np.array_equal(again.labels(never, name="a", rule="half"), first)
    again.labels(never, name="a", rule="positive")
    others = published.LabelledStacks(files[0], files[0], folder=tmp_path / "out")
    with pytest.raises(AssertionError, match="made again"):
        others.labels(never, name="a", rule="half")
