"""How would this crop look under another microscope?

The steps follow the light: optics blur it, depth and bleaching dim it, the stage takes planes that may lie further apart
than the network's, the camera adds noise and rounds to grey levels. Only then are the planes interpolated to the
network's grid, as prediction does, so noise of neighbouring planes is mixed as it will be. The truth stays.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.train.settings import SampleSettings


def other_microscope(
    image: NDArray[np.float32], settings: SampleSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Disturb a crop (z, y, x) of normalised intensities; a pure function of the crop and the generator's state."""
    blur = (rng.uniform(*settings.blur_z_voxels), *[rng.uniform(*settings.blur_xy_voxels)] * 2)
    values = ndimage.gaussian_filter(image, blur, truncate=3.0)
    values = values * _light(values.shape[0], settings, rng)[:, None, None]
    gamma = np.float32(rng.uniform(*settings.gamma))
    values = np.sign(values) * np.abs(values) ** gamma * np.float32(rng.uniform(*settings.gain))
    planes = _planes(values.shape[0], settings, rng)
    if planes is not None:
        values = _along_z(interpolation(planes, values.shape[0]), values)
    values = _camera(values, settings, rng)
    if planes is not None:
        values = _along_z(back(planes, image.shape[0]), values)
    result: NDArray[np.float32] = values + np.float32(rng.uniform(*settings.offset))
    return result


def coarse_planes(count: int, step: float, phase: float) -> NDArray[np.float64]:
    """Positions of planes `step` apart that reach both ends of `count` planes, the first `phase` steps before them."""
    return (np.arange(math.ceil((count - 1) / step) + 2, dtype=np.float64) - phase) * step


def interpolation(planes: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Matrix (len(planes), count) that reads `count` planes at fractional positions, linearly; edges repeat."""
    at = np.clip(planes, 0, count - 1)
    weights: NDArray[np.float32] = np.clip(1 - np.abs(at[:, None] - np.arange(count)), 0, None).astype(np.float32)
    return weights


def back(planes: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Matrix (count, len(planes)) from evenly spaced planes to every plane in between; they must reach both ends."""
    step = planes[1] - planes[0]
    far = np.abs(np.arange(count)[:, None] - planes) / step
    weights: NDArray[np.float32] = np.clip(1 - far, 0, None).astype(np.float32)
    return weights


def _light(planes: int, settings: SampleSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Share of light that each plane gives, falling from either end."""
    depth = np.linspace(0, 1, planes, dtype=np.float32)
    if rng.random() < 0.5:
        depth = depth[::-1]
    light: NDArray[np.float32] = np.exp(np.float32(-rng.uniform(*settings.attenuation)) * depth)
    return light


def _planes(count: int, settings: SampleSettings, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Positions of planes taken further apart than the network's; None where they would not be."""
    chosen, ratio, phase = rng.random() < settings.coarse_z, rng.uniform(*settings.z_ratio), rng.random()
    step = ratio * settings.spacing_um[1] / settings.spacing_um[0]
    if not chosen or step <= 1:
        return None
    return coarse_planes(count, step, phase)


def _camera(values: NDArray[np.float32], settings: SampleSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shot and read noise; in some crops, few grey levels."""
    read, shot = np.float32(rng.uniform(*settings.noise)), np.float32(rng.uniform(*settings.shot_noise))
    spread = read + shot * np.sqrt(np.clip(values, 0, None))
    noisy: NDArray[np.float32] = values + spread * rng.standard_normal(values.shape, dtype=np.float32)
    quantised, levels = rng.random() < settings.quantised, np.float32(rng.uniform(*settings.grey_levels))
    return np.rint(noisy * levels) / levels if quantised else noisy


def _along_z(matrix: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = (matrix @ values.reshape(values.shape[0], -1)).reshape(-1, *values.shape[1:])
    return result
