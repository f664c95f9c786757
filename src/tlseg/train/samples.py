"""Crops that mostly hold nuclei, varied as if from other microscopes.

A crop is a pure function of the training pairs, the seed and its number, so an interrupted training resumes with exactly
the crops it would have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tlseg.config import Scaling
from tlseg.errors import TrainingError
from tlseg.geometry import Box, Spacing, triple
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.resample import resample, resampled_shape
from tlseg.store.image.stacks import PairPath
from tlseg.store.labels.pairs import read_pair
from tlseg.train.augment import other_microscope
from tlseg.train.settings import SampleSettings, Target
from tlseg.train.targets import centroids, target_of

Origin = Literal["real", "simulated"]

MOST_RESAMPLED = 50
"""Largest factor by which voxels of a stack and of the grid may differ along an axis; a wrong unit makes a thousand."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One normalised stack and its target, both (1, 1, z, y, x) float16 on its own grid, and nuclear centres (n, 3)."""

    name: str
    group: str
    image: Tensor
    target: Tensor
    centres: NDArray[np.float64]
    spacing_um: Spacing
    origin: Origin = "real"


def load_pair(
    path: PairPath, *, target: Target, grid_um: Spacing, scaling: Scaling = "quantiles", origin: Origin = "real"
) -> Pair:
    """Read one pair and compute its target once.

    Parameters
    ----------
    path
        Where it is.
    target
        What the network learns.
    grid_um
        Voxel spacing the network learns at. A finer stack is averaged down to it once, as prediction does, so that no
        more is held in memory than can be seen; a coarser one stays on its own grid.
    scaling
        Intensities that become 0 and 1.

    Raises
    ------
    TrainingError
        When image and labels do not fit, or markers are to teach outlines.
    """
    check_truth(path, target)
    image, labels = read_pair(path)
    wanted = target_of(target, labels, spacing_um=path.spacing_um, grid_um=grid_um)
    statistics = measure_brightness(
        lambda box: image[box.slices],
        shape=triple(image.shape),
        dtype=image.dtype.str,
        spacing_um=path.spacing_um,
        grid_um=grid_um,
        scaling=scaling,
    )
    scaled = statistics.normalise(image)
    held = triple(map(max, path.spacing_um, grid_um))
    factor = np.array(path.spacing_um) / np.array(held)
    return Pair(
        name=path.name,
        group=path.group,
        image=_held(scaled, path.spacing_um, held),
        target=_held(wanted, path.spacing_um, held),
        centres=(centroids(labels) + 0.5) * factor - 0.5,
        spacing_um=held,
        origin=origin,
    )


def check_truth(path: PairPath, target: Target) -> None:
    """Raise a `TrainingError` if markers are to teach outlines."""
    if path.truth == "markers" and target == "mask":
        raise TrainingError(
            f"{path.labels.parent} marks where nuclei are, not their outlines; it can teach centres (ndn) but not regions. "
            "Give outlines (a SEG folder)."
        )


def check_grid(path: PairPath, grid_um: Spacing) -> None:
    """Raise a `TrainingError` if voxels of a stack are so unlike those of the grid that one of the two must be wrong."""
    ratios = [max(s / g, g / s) for s, g in zip(path.spacing_um, grid_um, strict=True)]
    if max(ratios) > MOST_RESAMPLED:
        raise TrainingError(
            f"{path.name} has voxels of {path.spacing_um} um (z, y, x) and the grid has {tuple(grid_um)} um: they differ by "
            f"a factor of {max(ratios):.3g}, and at most {MOST_RESAMPLED} is possible. Check --spacing, the unit in the "
            "files, and --grid."
        )


def fingerprint(pairs: Sequence[Pair]) -> str:
    """Digest of everything crops are made from; the files' places and dates do not matter."""
    digest = hashlib.blake2b(digest_size=16)
    for pair in pairs:
        digest.update(repr((pair.name, pair.group, pair.spacing_um, pair.origin, tuple(pair.image.shape))).encode())
        for tensor in (pair.image, pair.target):
            digest.update(tensor.contiguous().numpy().data)
        digest.update(np.ascontiguousarray(pair.centres).data)
    return digest.hexdigest()


def draw(pairs: Sequence[Pair], settings: SampleSettings, *, seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Crop `number` of the training with this seed: image and target, each (z, y, x) float32.

    Past the edge of the stack both repeat their last voxels, as the image does in prediction.
    """
    rng = np.random.default_rng((seed, number))
    pair = _choose(pairs, settings, rng)
    grid, box = _grid(pair, settings, rng)
    within = (slice(None), slice(None), *box.slices)
    image = functional.grid_sample(
        pair.image[within].float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    target = functional.grid_sample(
        pair.target[within].float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    disturbed = other_microscope(image[0, 0].numpy(), settings, rng)
    return torch.from_numpy(disturbed), target[0, 0].clamp(0, 1)


def batch(
    pairs: Sequence[Pair], settings: SampleSettings, *, seed: int, step: int, size: int, share: int = 0, shares: int = 1
) -> tuple[Tensor, Tensor]:
    """Batch of training step `step`: images (n, 1, z, y, x) and targets (n, z, y, x).

    With several processes each takes its `share` of the `shares` batches of a step.
    """
    first = (step * shares + share) * size
    crops = [draw(pairs, settings, seed=seed, number=first + i) for i in range(size)]
    images, targets = zip(*crops, strict=True)
    return torch.stack(images)[:, None], torch.stack(targets)


def _held(values: NDArray[np.float32], spacing: Spacing, held: Spacing) -> Tensor:
    """Stack on the grid it is held at, (1, 1, z, y, x) float16."""
    if held != spacing:
        shape = triple(values.shape)
        to = resampled_shape(shape, spacing, held)
        whole, result = Box.of_shape(shape), Box.of_shape(to)
        values = resample(values, whole, result, shape=shape, spacing=spacing, to=held)
    most = torch.finfo(torch.float16).max  # more would be infinite, and 0 times that is not a number
    return torch.from_numpy(values)[None, None].clamp(-most, most).half()


def _choose(pairs: Sequence[Pair], settings: SampleSettings, rng: np.random.Generator) -> Pair:
    """Simulated or real, then a stack by the root of its nuclei.

    Between one share per stack (late, crowded stages too rare) and one per nucleus (early stages too rare).
    """
    if settings.simulated:
        origin: Origin = "simulated" if rng.random() < settings.simulated else "real"
        pairs = [p for p in pairs if p.origin == origin] or pairs
    shares = np.sqrt([max(1, len(p.centres)) for p in pairs])
    return pairs[int(rng.choice(len(pairs), p=shares / shares.sum()))]


def _grid(pair: Pair, settings: SampleSettings, rng: np.random.Generator) -> tuple[Tensor, Box]:
    """Sampling grid: zoomed, turned about z, flipped, around a nucleus or anywhere; and the voxels it reads."""
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
        middle = rng.uniform(0, shape) - 0.5
    half = crop * step / 2
    # A voxel's position is its middle: the stack reaches from -0.5 to shape - 0.5.
    middle = np.where(2 * half < shape, np.clip(middle, half - 0.5, shape - half - 0.5), shape / 2 - 0.5)

    cos, sin = np.cos(angle), np.sin(angle)
    # Turned by an oblong voxel's own micrometres: y and x may have different spacings.
    aspect = pair.spacing_um[1] / pair.spacing_um[2]
    along = [(np.arange(n) - (n - 1) / 2) * s * f for n, s, f in zip(settings.crop, step, flips, strict=True)]
    z, y, x = np.meshgrid(*along, indexing="ij")
    at = (middle[0] + z, middle[1] + cos * y - sin * x / aspect, middle[2] + sin * y * aspect + cos * x)
    box = _read_by(at, shape)
    # grid_sample wants x, y, z in [-1, 1] over the whole extent of the voxels.
    relative = [(a - b + 0.5) / n * 2 - 1 for a, b, n in zip(at, box.start, box.shape, strict=True)]
    return torch.from_numpy(np.stack(relative[::-1], axis=-1)[None].astype(np.float32)), box


def _read_by(at: Sequence[NDArray[np.float64]], shape: NDArray[np.float64]) -> Box:
    """Voxels of a frame that linear interpolation at these positions needs."""
    ends = [
        (int(np.clip(np.floor(a.min()), 0, n - 1)), int(np.clip(np.floor(a.max()) + 2, 1, n)))
        for a, n in zip(at, shape, strict=True)
    ]
    return Box(*map(triple, zip(*ends, strict=True)))
