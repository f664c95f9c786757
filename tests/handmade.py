"""Small things tests are made of: a model whose answers can be worked out by hand, and movies for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tlseg.config import Scaling
from tlseg.models.bundle import Model, ModelSpec, NetworkSpec, save_model
from tlseg.models.unet import UNet, UNetConfig
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.normalise import FrameStatistics
from tlseg.store.image.image_writer import create_image
from tlseg.store.image.pyramid import plan_pyramid

ARCHITECTURE = UNetConfig(levels=2, kernel=1, base=1)


def threshold_weights(slope: float, middle: float) -> dict[str, torch.Tensor]:
    """Weights with which the probability of a voxel is `sigmoid(slope * (max(x, 0) - middle))` of its intensity `x`."""
    network = UNet(ARCHITECTURE)
    state = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    for name in state:
        if name.endswith("running_var"):
            state[name] = torch.ones_like(state[name])
        # Normalisation that changes nothing (up to eps), and convolutions that hand on the first channel.
        if name.endswith((".1.weight", ".4.weight")):
            state[name] = torch.ones_like(state[name])
    state["encoder.0.0.weight"][0, 0] = 1
    state["encoder.0.3.weight"][0, 0] = 1
    state["decoder.0.0.weight"][0, -2] = 1
    state["decoder.0.3.weight"][0, 0] = 1
    state["head.weight"][0, 0] = slope
    state["head.bias"][0] = -slope * middle
    return state


def save_threshold_model(folder: Path, *, window: tuple[int, int, int] = (32, 48, 48), **changes: object) -> Model:
    """A model folder for tests: fast, and with windows small enough that frames need several."""
    network = NetworkSpec(ARCHITECTURE, "", window, (4, 8, 8))
    spec = ModelSpec(
        name="threshold",
        networks={
            "nsn": NetworkSpec(ARCHITECTURE, "nsn.safetensors", network.window, network.overlap),
            "ndn": NetworkSpec(ARCHITECTURE, "ndn.safetensors", network.window, network.overlap),
        },
        spacing_um=(1.6, 0.8, 0.8),
        **{  # type: ignore[arg-type]
            "centre_threshold": 0.5,
            "centre_smoothing_um": 3.0,
            "centre_distance_um": 4.0,
            "relief": "distance",
            "precision": "float32",
            **changes,
        },
    )
    return save_model(folder, spec, weights={"nsn": threshold_weights(12.0, 0.3), "ndn": threshold_weights(6.0, 0.4)})


def write_movie(path: Path, frames: np.ndarray, *, spacing_um: tuple[float, float, float] = (1.6, 0.8, 0.8)) -> Path:
    """Write an OME-Zarr 0.5 movie from an array (t, z, y, x) held in memory."""
    return write_channels(path, {"nuclei": frames}, spacing_um=spacing_um)


def write_channels(
    path: Path,
    channels: dict[str, np.ndarray],
    *,
    spacing_um: tuple[float, float, float] = (1.6, 0.8, 0.8),
    interval_s: float | None = 60.0,
) -> Path:
    """Write an OME-Zarr 0.5 movie from arrays (t, z, y, x), one for each channel."""
    first = next(iter(channels.values()))
    writer = create_image(
        path,
        pyramid=plan_pyramid(first.shape[1:], spacing_um=spacing_um),
        n_frames=len(first),
        dtype=first.dtype.str,
        channel_names=list(channels),
        is_2d=False,
        interval_s=interval_s,
    )
    for c, frames in enumerate(channels.values()):
        for t, frame in enumerate(frames):
            for box in writer.regions:
                writer.write(t, box, frame[box.slices].copy(), channel=c)
    writer.finish()
    return path


def bright_balls(
    shape: tuple[int, int, int],
    centres: np.ndarray,
    *,
    radius_um: float = 6.0,
    spacing_um: tuple[float, float, float] = (1.6, 0.8, 0.8),
    seed: int = 0,
) -> np.ndarray:
    """A frame (z, y, x) uint16 with a bright ball, brightest in the middle, at each centre (n, 3) in voxels."""
    place = np.stack(np.indices(shape), axis=-1) * np.array(spacing_um)
    value = np.zeros(shape)
    for centre in centres:
        far = np.linalg.norm(place - centre * np.array(spacing_um), axis=-1)
        value = np.maximum(value, np.clip(1.3 - far / radius_um, 0, 1))
    noise = np.random.default_rng(seed).normal(0, 6, shape)
    return np.clip(100 + 900 * value + noise, 0, 65535).astype(np.uint16)


def moving_balls(frames: int, shape: tuple[int, int, int], *, count: int, seed: int = 0) -> np.ndarray:
    """A movie (t, z, y, x) of balls that drift a voxel a frame; crowded enough that some touch."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 1, (count, 3)) * np.array(shape)
    drift = rng.uniform(-1, 1, (count, 3))
    return np.stack([bright_balls(shape, start + t * drift, seed=t) for t in range(frames)])


def frame_statistics(image: np.ndarray, *, frame: int = 0, scaling: Scaling = "quantiles") -> FrameStatistics:
    """Statistics of a frame (z, y, x) that counts as a whole: as large, in nuclei, as those that networks learned from."""
    side = (image.size / 1_000_000) ** (1 / 3)
    return measure_brightness(
        lambda box: image[box.slices],
        shape=(image.shape[0], image.shape[1], image.shape[2]),
        dtype=image.dtype.str,
        spacing_um=(1.0, 1.0, 1.0),
        grid_um=(side, side, side),
        scaling=scaling,
        frame=frame,
    )
