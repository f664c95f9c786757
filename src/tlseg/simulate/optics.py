"""What a microscope makes of the nuclei: texture, blur, depth, background, photons and the camera.

Light is counted in electrons until the camera turns it into grey values. Constants were fitted to BBBC050: intensity
profiles across annotated nuclei along x and z, and variance against mean of the grey values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tlseg.geometry import Shape, triple
from tlseg.simulate.motion import Scene
from tlseg.simulate.settings import Draw, SimulationSettings
from tlseg.simulate.shape import Ellipsoid, unit_coordinates

Floats = NDArray[np.float64]
Light = NDArray[np.float32]

# The point-spread function as a sum of Gaussians: share of the light, sigma along z and across, micrometres.
_BLUR = ((0.56, 2.3, 0.6), (0.27, 6.8, 2.0), (0.17, 15.0, 8.0))
# Spots inside a nucleus, in half axes: fewest, one more than most, how far out, widths, and change of brightness.
_NUCLEOLI = (2, 5, 0.5, (0.18, 0.3), (-0.75, -0.45))
_CHROMATIN = (14, 22, 0.95, (0.12, 0.26), (0.2, 0.8))
_PAD_UM = (5.0, 2.0, 2.0)  # light from just outside the frame reaches into it


def expose(scene: Scene, t: int, *, settings: SimulationSettings) -> NDArray[np.uint16]:
    """Picture of a frame.

    Parameters
    ----------
    scene : Scene
        What shines in frame `t`.
    t : int
        Frame number; decides bleaching and noise.
    settings : SimulationSettings

    Returns
    -------
    ndarray of uint16, (z, y, x)
        Grey values.
    """
    light = collect(scene, t, settings=settings)
    return read_out(light, settings.rng(Draw.CAMERA, t), settings=settings)


def collect(scene: Scene, t: int, *, settings: SimulationSettings) -> Light:
    """Mean electrons per voxel (z, y, x), before chance."""
    pad = _pad(settings)
    source = shine(scene, settings=settings, pad=pad)
    inner = tuple(slice(p, p + n) for p, n in zip(pad, settings.shape, strict=True))
    light = np.zeros(settings.shape, np.float32)
    for share, along_z, across in _BLUR:
        sigma = [s / u for s, u in zip((along_z, across, across), settings.spacing_um, strict=True)]
        light += np.float32(share) * gaussian_filter(source, sigma, mode="constant", truncate=3)[inner]
    light *= np.float32(settings.photons * (1 - settings.bleach) ** t)
    nz = settings.shape[0]
    depth = (nz - 1 - np.arange(nz)) * settings.spacing_um[0]
    light *= np.exp(-depth / settings.attenuation_um).astype(np.float32)[:, None, None]
    if settings.cytoplasm > 0:
        light += np.float32(settings.cytoplasm) * _haze(scene, settings)
    light += np.float32(settings.background)
    return light


def shine(scene: Scene, *, settings: SimulationSettings, pad: Shape) -> Light:
    """Light where it is made, (z, y, x) with `pad` voxels around the frame; 1 is the body of a two-cell nucleus."""
    nz, ny, nx = (n + 2 * p for n, p in zip(settings.shape, pad, strict=True))
    source = np.zeros((nz, ny, nx), np.float32)
    shift = np.array(pad) * np.array(settings.spacing_um)
    for nucleus in scene.nuclei:
        form, centre = nucleus.form, nucleus.centre_um + shift
        _light_up(source, form, centre, nucleus.glow, number=nucleus.track.number, settings=settings)
    for speck in scene.specks:
        _light_up(source, speck.form, speck.centre_um + shift, speck.glow, number=None, settings=settings)
    return source


def _light_up(
    source: Light, form: Ellipsoid, centre_um: Floats, glow: float, *, number: int | None, settings: SimulationSettings
) -> None:
    """Add the light of one body to `source` (z, y, x); a nucleus has the texture of its `number`."""
    along_z, across = settings.light_share
    body = form.shrunk(along_z=along_z, across=across)
    shape = triple(source.shape)
    box, unit = unit_coordinates(body, centre_um, shape=shape, spacing_um=settings.spacing_um, margin=1.1)
    if not box.size:
        return
    radius = np.sqrt((unit**2).sum(axis=0))
    soft = 0.5 * min(settings.spacing_um[1:]) / min(body.half_axes_um)
    edge = np.clip((1 - radius) / (2 * soft) + 0.5, 0, 1)
    grain = 1.0 if number is None else texture(unit, number, settings=settings)
    source[box.slices] += (glow * edge * grain).astype(np.float32)


def texture(unit: NDArray[np.float64], number: int, *, settings: SimulationSettings) -> NDArray[np.float64]:
    """Brightness inside a nucleus, mean about 1: dark nucleoli, bright chromatin, the same through time.

    Parameters
    ----------
    unit : ndarray, (3, z, y, x)
        Coordinates in which the nucleus is the unit ball.
    number : int
        Track; each has its own texture.
    settings : SimulationSettings
    """
    rng = settings.rng(Draw.TEXTURE, number)
    value: Floats = np.full(unit.shape[1:], 0.95)
    for few, many, far, wide, deep in (_NUCLEOLI, _CHROMATIN):
        for _ in range(int(rng.integers(few, many))):
            spot = rng.normal(size=3)
            spot *= far * rng.uniform() ** (1 / 3) / np.linalg.norm(spot)
            width, depth = rng.uniform(*wide), rng.uniform(*deep)
            square = ((unit - spot[:, None, None, None]) ** 2).sum(axis=0)
            value += depth * np.exp(square / (-2 * width**2))
    np.maximum(value, 0.1, out=value)
    return value


def read_out(light: Light, rng: np.random.Generator, *, settings: SimulationSettings) -> NDArray[np.uint16]:
    """Grey values an EM-CCD camera reads for mean electrons `light`.

    Electrons arrive by chance (Poisson), the register multiplies each by a random gain (Gamma, which doubles the
    variance), the reading adds a Gaussian error.
    """
    electrons = rng.poisson(light)
    grey = np.full(light.shape, settings.offset, np.float32)
    hit = electrons > 0
    grey[hit] += rng.gamma(electrons[hit], settings.gain).astype(np.float32)
    grey += rng.standard_normal(light.shape, np.float32) * np.float32(settings.read_noise)
    return np.clip(np.rint(grey), 0, 65535).astype(np.uint16)


def _haze(scene: Scene, settings: SimulationSettings) -> Light:
    """Share of cytoplasm at each voxel: 1 deep inside the egg, falling off across its wall."""
    middle = (np.array(settings.shape) - 1) / 2 * np.array(settings.spacing_um)
    if scene.nuclei:
        middle = np.mean([p.centre_um for p in scene.nuclei], axis=0)
    z, y, x = (
        ((np.arange(n) * s - m) / a) ** 2
        for n, s, m, a in zip(settings.shape, settings.spacing_um, middle, settings.egg_um, strict=True)
    )
    radius = np.sqrt(z[:, None, None] + y[:, None] + x)
    share: Light = np.clip((1.2 - radius) / 0.4, 0, 1).astype(np.float32)
    return share


def _pad(settings: SimulationSettings) -> Shape:
    return triple(math.ceil(p / s) for p, s in zip(_PAD_UM, settings.spacing_um, strict=True))
