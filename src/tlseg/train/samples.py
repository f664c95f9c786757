"""Crops that mostly hold nuclei, from microscopes that were never there.

A crop is a pure function of the training pairs, the seed and its number, so an interrupted training resumes with exactly
the crops it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from tlseg.errors import TrainingError
from tlseg.geometry import Shape, Spacing
from tlseg.predict.normalise import frame_statistics
from tlseg.store.stacks import PairPath, read_stack
from tlseg.train.targets import centre_target, mask_target

Target = Literal["mask", "centre"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One normalised stack, its target (both (1, 1, z, y, x) float16 on its own grid) and nuclear centres (n, 3)."""

    name: str
    group: str
    image: Tensor
    target: Tensor
    centres: NDArray[np.float64]
    spacing_um: Spacing


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How crops are drawn and disturbed; every range is drawn from uniformly.

    `crop` is in voxels of `spacing_um`; `on_nucleus` is the share of crops centred on a nucleus.
    """

    spacing_um: Spacing = (1.6, 0.8, 0.8)
    crop: Shape = (32, 64, 64)
    on_nucleus: float = 0.8
    zoom: tuple[float, float] = (0.8, 1.25)
    zoom_z: tuple[float, float] = (0.8, 1.25)
    gain: tuple[float, float] = (0.6, 1.5)
    gamma: tuple[float, float] = (0.75, 1.3)
    offset: tuple[float, float] = (-0.04, 0.04)
    noise: tuple[float, float] = (0.0, 0.06)
    shot_noise: tuple[float, float] = (0.0, 0.06)
    blur_z_voxels: tuple[float, float] = (0.0, 1.0)
    blur_xy_voxels: tuple[float, float] = (0.0, 0.8)
    attenuation: tuple[float, float] = (0.0, 0.6)


def load_pair(paths: PairPath, *, target: Target, spacing_um: Spacing) -> Pair:
    """Read one pair and compute its target once, on the grid of the stack."""
    image, labels = read_stack(paths.image), read_stack(paths.labels)
    if image.shape != labels.shape:
        raise TrainingError(f"{paths.name}: the image is {image.shape} and its labels are {labels.shape}.")
    scaled = frame_statistics(image).normalise(image)
    wanted = mask_target(labels) if target == "mask" else centre_target(labels, spacing_um)
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 3)
    return Pair(
        name=paths.name,
        group=paths.group,
        image=torch.from_numpy(scaled)[None, None].half(),
        target=torch.from_numpy(wanted)[None, None].half(),
        centres=centres,
        spacing_um=spacing_um,
    )


def draw(pairs: list[Pair], settings: SampleSettings, *, seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Crop `number` of the training with this seed: image and target, each (z, y, x) float32."""
    rng = np.random.default_rng((seed, number))
    # Between one share per stack (late, crowded stages too rare) and one per nucleus (early stages too rare).
    shares = np.sqrt([max(1, len(p.centres)) for p in pairs])
    pair = pairs[int(rng.choice(len(pairs), p=shares / shares.sum()))]
    grid = _grid(pair, settings, rng)
    image = functional.grid_sample(
        pair.image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    target = functional.grid_sample(
        pair.target.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return _disturb(image[0, 0], settings, rng), target[0, 0].clamp(0, 1)


def batch(pairs: list[Pair], settings: SampleSettings, *, seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Batch of training step `step`: images (n, 1, z, y, x) and targets (n, z, y, x)."""
    crops = [draw(pairs, settings, seed=seed, number=step * size + i) for i in range(size)]
    images, targets = zip(*crops, strict=True)
    return torch.stack(images)[:, None], torch.stack(targets)


def _grid(pair: Pair, settings: SampleSettings, rng: np.random.Generator) -> Tensor:
    """Sampling grid: zoomed, turned about z, flipped, around a nucleus or anywhere."""
    shape = np.array(pair.image.shape[2:], dtype=float)
    crop = np.array(settings.crop, dtype=float)
    zoom = rng.uniform(*settings.zoom)
    step_um = np.array(settings.spacing_um) * np.array([rng.uniform(*settings.zoom_z), zoom, zoom])
    step = step_um / np.array(pair.spacing_um)
    angle = rng.uniform(0, 2 * np.pi)
    flips = rng.choice([-1.0, 1.0], size=3)
    if len(pair.centres) and rng.random() < settings.on_nucleus:
        jitter = rng.uniform(-0.35, 0.35, size=3) * crop * step
        middle = pair.centres[int(rng.integers(len(pair.centres)))] + jitter
    else:
        middle = rng.uniform(0, shape)
    half = crop * step / 2
    middle = np.where(2 * half < shape, np.clip(middle, half, shape - half), shape / 2)

    cos, sin = np.cos(angle), np.sin(angle)
    along = [(np.arange(n) - (n - 1) / 2) * s * f for n, s, f in zip(settings.crop, step, flips, strict=True)]
    z, y, x = np.meshgrid(*along, indexing="ij")
    at = (middle[0] + z, middle[1] + cos * y - sin * x, middle[2] + sin * y + cos * x)
    # grid_sample wants x, y, z in [-1, 1] over the whole extent of the voxels.
    relative = [(a + 0.5) / n * 2 - 1 for a, n in zip(at, shape, strict=True)]
    return torch.from_numpy(np.stack(relative[::-1], axis=-1)[None].astype(np.float32))


def _disturb(image: Tensor, settings: SampleSettings, rng: np.random.Generator) -> Tensor:
    """Another microscope: blur, depth attenuation, gain, gamma, offset, shot and read noise."""
    sigma = (rng.uniform(*settings.blur_z_voxels), *[rng.uniform(*settings.blur_xy_voxels)] * 2)
    values = ndimage.gaussian_filter(image.numpy(), sigma)
    depth = np.linspace(0, 1, values.shape[0], dtype=np.float32)
    if rng.random() < 0.5:
        depth = depth[::-1]
    values = values * np.exp(-rng.uniform(*settings.attenuation) * depth)[:, None, None]
    gamma = rng.uniform(*settings.gamma)
    values = np.sign(values) * np.abs(values) ** gamma * rng.uniform(*settings.gain)
    spread = rng.uniform(*settings.noise) + rng.uniform(*settings.shot_noise) * np.sqrt(np.clip(values, 0, None))
    values = values + spread * rng.standard_normal(values.shape) + rng.uniform(*settings.offset)
    return torch.from_numpy(values.astype(np.float32))
