"""Weights as the published code saves them, and what its networks answer: written and computed without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def random_snapshot(levels: int, *, base: int, kernel: int, outputs: int = 2, seed: int = 0) -> Arrays:
    """Arrays of a Chainer network by its names, with batch norms that have seen data; variances down to near zero."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}

    def convolution(name: str, entering: int, leaving: int, side: int, *, transposed: bool = False) -> None:
        shape = (entering, leaving) if transposed else (leaving, entering)
        spread = np.sqrt(2 / (entering * (1 if transposed else side**3)))
        arrays[f"{name}/W"] = rng.normal(0, spread, (*shape, side, side, side)).astype(np.float32)
        arrays[f"{name}/b"] = rng.normal(0, 0.1, leaving).astype(np.float32)

    def norm(name: str, channels: int) -> None:
        arrays[f"{name}/gamma"] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
        arrays[f"{name}/beta"] = rng.normal(0, 0.3, channels).astype(np.float32)
        arrays[f"{name}/avg_mean"] = rng.normal(0, 0.2, channels).astype(np.float32)
        # A dead channel has a variance of the size of epsilon, and there epsilon counts.
        arrays[f"{name}/avg_var"] = rng.choice([1e-4, 0.4, 1.0], channels).astype(np.float32)
        arrays[f"{name}/N"] = np.array(0)

    entering = 1
    for i in range(2 * levels):
        leaving = base * 2 ** ((i + 1) // 2)
        convolution(f"c{i}", entering, leaving, kernel)
        norm(f"bnc{i}", leaving)
        entering = leaving
    for step in range(levels - 1):
        width = base * 2 ** (levels - 1 - step)
        convolution(f"dc{3 * step}", 2 * width, 2 * width, 2, transposed=True)
        convolution(f"dc{3 * step + 1}", 3 * width, width, kernel)
        norm(f"bndc{3 * step + 1}", width)
        convolution(f"dc{3 * step + 2}", width, width, kernel)
        norm(f"bndc{3 * step + 2}", width)
    convolution(f"dc{3 * (levels - 1)}", 2 * base, outputs, 1)
    return arrays


def save_npz(path: Path, arrays: Arrays) -> Path:
    """Write what Chainer's `serializers.save_npz` writes: a compressed archive with slashes in the names."""
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def forward(arrays: Arrays, image: np.ndarray, *, epsilon: float = 2e-5) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Softmax output (outputs, z, y, x) in float64, and what every convolution gives before its batch norm, by its name."""
    levels = len([name for name in arrays if name.startswith("c") and name.endswith("/W")]) // 2
    seen: dict[str, np.ndarray] = {}

    def convolve(name: str, x: np.ndarray) -> np.ndarray:
        seen[name] = _correlate(x, arrays[f"{name}/W"]) + arrays[f"{name}/b"][:, None, None, None]
        return seen[name]

    def normalised(name: str, x: np.ndarray) -> np.ndarray:
        gamma, beta, mean, var = (
            arrays[f"bn{name}/{what}"].astype(float)[:, None, None, None]
            for what in ("gamma", "beta", "avg_mean", "avg_var")
        )
        return np.maximum((x - mean) / np.sqrt(var + epsilon) * gamma + beta, 0)

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        return normalised(name, convolve(name, x))

    x, kept = image[None].astype(float), []
    for level in range(levels):
        x = layer(f"c{2 * level + 1}", layer(f"c{2 * level}", x if level == 0 else _pool(x)))
        kept.append(x)
    for step in range(levels - 1):
        up = _transposed(x, arrays[f"dc{3 * step}/W"]) + arrays[f"dc{3 * step}/b"][:, None, None, None]
        seen[f"dc{3 * step}"] = up
        joined = np.concatenate([up, kept[levels - 2 - step]])
        x = layer(f"dc{3 * step + 2}", layer(f"dc{3 * step + 1}", joined))
    logits = convolve(f"dc{3 * (levels - 1)}", x)
    odds = np.exp(logits - logits.max(axis=0))
    return odds / odds.sum(axis=0), seen


def torch_names(arrays: Arrays) -> Arrays:
    """The same arrays by the names of the published PyTorch code."""
    convolution = {"W": "weight", "b": "bias"}
    norm = {
        "gamma": "weight",
        "beta": "bias",
        "avg_mean": "running_mean",
        "avg_var": "running_var",
        "N": "num_batches_tracked",
    }
    renamed = {}
    for name, value in arrays.items():
        layer, what = name.split("/")
        renamed[f"{layer}.{(norm if layer.startswith('bn') else convolution)[what]}"] = value
    return renamed


def _correlate(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    side = weights.shape[2]
    padded = np.pad(x, ((0, 0), *[(side // 2, side // 2)] * 3))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side, side), axis=(1, 2, 3))
    return np.tensordot(weights.astype(float), windows, axes=([1, 2, 3, 4], [0, 4, 5, 6]))


def _transposed(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Every voxel becomes a cube of 2 x 2 x 2."""
    spread = np.einsum("izyx,ioabc->ozaybxc", x, weights.astype(float))
    channels, z, _, y, _, width, _ = spread.shape
    return spread.reshape(channels, 2 * z, 2 * y, 2 * width)


def _pool(x: np.ndarray) -> np.ndarray:
    channels, z, y, width = x.shape
    return x.reshape(channels, z // 2, 2, y // 2, 2, width // 2, 2).max(axis=(2, 4, 6))


Change = Callable[[Arrays], object]
