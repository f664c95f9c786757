"""On a GPU: full batches, the same labels for any cut, and nearly those of a CPU. Skipped without CUDA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from handmade import moving_balls, save_threshold_model, write_movie
from tlseg.geometry import Box
from tlseg.models.unet import UNet, UNetConfig, fold_batch_norm
from tlseg.predict.infer import Predictor, load_predictor
from tlseg.run.segment import segment
from tlseg.store.labels.label_movie import open_label_movie

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")


def labels_of(result: Path) -> np.ndarray:
    movie = open_label_movie(result)
    return np.stack([movie.read(t, Box.of_shape(movie.frame_shape(t))) for t in movie.frames])


def test_labels_on_a_gpu_do_not_depend_on_the_cut_and_agree_with_a_cpu(tmp_path: Path) -> None:
    model = save_threshold_model(tmp_path / "model").folder
    movie = write_movie(tmp_path / "movie.ome.zarr", moving_balls(3, (40, 100, 90), count=20))
    results = {}
    for name, block, device in (
        ("whole", (48, 112, 96), "cuda"),
        ("cut", (16, 32, 48), "cuda"),
        ("cpu", (48, 112, 96), "cpu"),
    ):
        segment(movie, out=tmp_path / f"{name}.ome.zarr", model=model, block=block, device=device, image=False)
        results[name] = labels_of(tmp_path / f"{name}.ome.zarr")
    np.testing.assert_array_equal(results["cut"], results["whole"])
    assert ((results["cpu"] > 0) != (results["whole"] > 0)).mean() < 1e-3


def test_a_window_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    model = save_threshold_model(tmp_path / "model", batch=4)
    predictor = load_predictor(str(model.folder), model.digest, "nsn", "cuda")
    windows = np.random.default_rng(0).normal(0.3, 0.3, (6, 16, 32, 32)).astype(np.float32)
    together = predictor(windows)
    alone = np.concatenate([predictor(window[None]) for window in windows])
    np.testing.assert_array_equal(together, alone)


def test_float32_is_as_exact_as_on_a_cpu() -> None:
    """TF32 would be off by a thousandth."""
    torch.manual_seed(0)
    network = UNet(UNetConfig(levels=3, kernel=3, base=8)).eval()
    Predictor(network, precision="float32", device="cuda", batch=1)
    folded, window = fold_batch_norm(network), torch.randn(1, 1, 16, 32, 32)
    with torch.inference_mode():
        expected = folded(window)
        found = folded.cuda()(window.cuda()).cpu()
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
