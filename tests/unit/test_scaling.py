"""Frames scaled by their extremes, as the published networks learned them: the same in training, models and runs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handmade import frame_statistics
from tlseg.config import Scaling
from tlseg.errors import ModelError
from tlseg.models.pack import pack
from tlseg.models.unet import UNet, UNetConfig
from tlseg.store.image.stacks import PairPath
from tlseg.train.recipe import recipe, spec_in_training
from tlseg.train.samples import load_pair

frames = arrays(np.uint16, (3, 4, 5), elements=st.integers(0, 65535)).filter(lambda a: np.median(a) < a.max())


@given(frames)
def test_extremes_become_0_and_1(image: np.ndarray) -> None:
    scaled = frame_statistics(image, scaling="extremes").normalise(image)
    assert scaled.min() == 0
    assert scaled.max() == pytest.approx(1, abs=1e-6)


@given(frames)
def test_asinh_keeps_order_and_both_ends_and_compresses_what_is_bright(image: np.ndarray) -> None:
    line, curve = (frame_statistics(image, scaling=scaling) for scaling in ("quantiles", "asinh"))
    ends = np.array([line.low, line.high])
    np.testing.assert_allclose(curve.normalise(ends), [0, 1], atol=1e-6)
    values = np.sort(image, axis=None)
    scaled = curve.normalise(values)
    assert (np.diff(scaled) >= 0).all()
    bright = values > line.high
    assert (scaled[bright] <= line.normalise(values)[bright]).all()


@given(frames, st.integers(0, 2), st.integers(0, 4), st.sampled_from(get_args(Scaling)))
def test_a_part_is_scaled_as_it_is_in_the_whole(image: np.ndarray, plane: int, column: int, scaling: Scaling) -> None:
    found = frame_statistics(image, scaling=scaling)
    whole = found.normalise(image)
    assert (found.normalise(image[plane:, :, column:]) == whole[plane:, :, column:]).all()


def test_a_training_sees_what_its_model_will_see(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(100, 3000, (6, 8, 8)).astype(np.uint16)
    labels = (image > 1500).astype(np.uint8)
    for name, stack in (("image", image), ("labels", labels)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack)
    spacing = (1.6, 0.8, 0.8)
    path = PairPath("one", "group", tmp_path / "image.tif", tmp_path / "labels.tif", spacing)
    pair = load_pair(path, target="mask", grid_um=spacing, scaling="extremes")
    assert float(pair.image.min()) == 0
    assert float(pair.image.max()) == pytest.approx(1, abs=1e-3)
    settings = recipe("nsn", scaling="extremes")
    assert settings.samples.scaling == "extremes"
    assert spec_in_training("nsn", settings).scaling == "extremes"


def test_a_model_scales_as_its_networks_learned_it(tmp_path: Path) -> None:
    files = {}
    for name, scaling in (("nsn", "extremes"), ("ndn", "extremes"), ("other", "quantiles")):
        config = UNetConfig(levels=2, kernel=3, base=2)
        stated = {"architecture": config.to_dict(), "scaling": scaling, "spacing_um": (1.6, 0.8, 0.8)}
        target = "mask" if name == "nsn" else "centre"
        torch.save({**stated, "target": target, "network": UNet(config).state_dict()}, tmp_path / f"{name}.pt")
        files[name] = tmp_path / f"{name}.pt"
    common = {"name": "m", "provenance": {}, "spacing_um": (0.8, 0.8, 0.8)}
    assert pack(tmp_path / "model", nsn=files["nsn"], ndn=files["ndn"], **common).spec.scaling == "extremes"
    with pytest.raises(ModelError, match="same --scaling"):
        pack(tmp_path / "mixed", nsn=files["nsn"], ndn=files["other"], **common)
