"""Everything that decides a training, as plain values: same settings, same data, same weights.

Nothing here says where files are or what device does the work, so settings can be compared, stored in a checkpoint and
searched over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from tlseg.config import Scaling
from tlseg.errors import TrainingError
from tlseg.geometry import Shape, Spacing
from tlseg.models.unet import UNetConfig
from tlseg.rules import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
    ShareBelow1,
    at_least,
    check_fields,
    number,
    positive,
    rising,
    three,
    whole,
)
from tlseg.train.losses import loss_of
from tlseg.wording import how_many

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["cosine", "constant", "linear", "poly"]
Precision = Literal["bfloat16", "float32"]
Target = Literal["mask", "centre", "ball"]
Range = tuple[float, float]
PositiveRange = Annotated[Range, rising(positive())]
NonNegativeRange = Annotated[Range, rising(at_least(0))]

POLY_POWER = 0.9
"""Exponent of the "poly" schedule (as in nnU-Net, Isensee et al. 2021)."""


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How crops are drawn and disturbed; every range is drawn from uniformly.

    Intensities change little: a frame is scaled by its own median and brightest voxels, and where people draw the border
    of a nucleus is a fixed share of that (`docs/accuracy.md`), which wide ranges would hide.

    Parameters
    ----------
    spacing_um, crop
        Voxel spacing (z, y, x) the network learns at, and voxels of a crop.
    scaling
        Intensities of a frame that become 0 and 1, as in `ModelSpec`.
    on_nucleus
        Share of crops centred on a nucleus.
    simulated
        Share of crops taken from simulated embryos; needs pairs of that origin.
    zoom, zoom_z
        Factors on the spacing along y and x, and along z.
    coarse_z, z_ratio
        Share of crops whose planes are taken further apart than the network's, and how far: z spacing over xy spacing.
    blur_z_voxels, blur_xy_voxels
        Spread of a Gaussian blur.
    attenuation
        Light lost from one end of the crop to the other, as an exponent: depth, or bleaching while planes are taken.
    gamma, gain, offset
        Of intensities, where 1 is a frame's brightest.
    noise, shot_noise
        Spread of camera noise, and of noise that grows with the square root of light.
    quantised, grey_levels
        Share of crops stored in few grey levels (8-bit cameras), and how many lie between 0 and 1.
    """

    spacing_um: Annotated[Spacing, three(positive())] = (1.6, 0.8, 0.8)
    crop: Annotated[Shape, three(whole(1))] = (32, 64, 64)
    scaling: Scaling = "quantiles"
    on_nucleus: Share = 0.8
    simulated: Share = 0.0
    zoom: PositiveRange = (0.8, 1.25)
    zoom_z: PositiveRange = (0.8, 1.25)
    coarse_z: Share = 0.3
    z_ratio: PositiveRange = (1.5, 3.5)
    blur_z_voxels: NonNegativeRange = (0.0, 0.7)
    blur_xy_voxels: NonNegativeRange = (0.0, 0.5)
    attenuation: NonNegativeRange = (0.0, 0.2)
    gamma: PositiveRange = (0.95, 1.05)
    gain: PositiveRange = (0.9, 1.1)
    offset: Annotated[Range, rising(number())] = (-0.01, 0.01)
    noise: NonNegativeRange = (0.0, 0.05)
    shot_noise: NonNegativeRange = (0.0, 0.05)
    quantised: Share = 0.2
    grey_levels: PositiveRange = (24.0, 255.0)

    def __post_init__(self) -> None:
        check_fields(self, error=TrainingError)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training.

    Parameters
    ----------
    rate, warmup, schedule
        The learning rate is reached after `warmup` steps, then falls to zero along half a cosine, a line or a power of
        the steps left, or stays.
    momentum, weight_decay
        Of "sgd", and of "adamw".
    clip
        Longest gradient; longer ones are shortened to it.
    precision
        "bfloat16" uses autocast; "float32" is that on a GPU too, not TF32. A step with a gradient that is not finite is
        skipped and counted.
    average
        What is validated and kept is a moving average of the weights that forgets by this each step, and faster at first.
    batch
        Crops per step, on each process of a training on several GPUs.
    """

    architecture: UNetConfig
    target: Target
    steps: PositiveInt = 3000
    batch: PositiveInt = 2
    loss: str = "bce+dice"
    optimizer: Optimizer = "adam"
    rate: PositiveFloat = 1e-3
    warmup: NonNegativeInt = 50
    schedule: Schedule = "cosine"
    momentum: ShareBelow1 = 0.9
    weight_decay: NonNegativeFloat = 0.01
    clip: PositiveFloat = 5.0
    average: ShareBelow1 = 0.995
    precision: Precision = "bfloat16"
    seed: NonNegativeInt = 0
    save_every: PositiveInt = 100
    validate_every: PositiveInt = 500
    samples: SampleSettings = field(default_factory=SampleSettings)

    def check(self) -> None:
        """Raise a `TrainingError` for settings no training can be done with."""
        check_fields(self, error=TrainingError)
        loss_of(self.loss, outputs=self.architecture.outputs)
        crop, multiple = self.samples.crop, self.architecture.multiple
        if any(n % multiple for n in crop):
            raise TrainingError(
                f"A crop of {crop} voxels cannot be halved {how_many(self.architecture.levels - 1, 'time')}; every side "
                f"must be a multiple of {multiple}. Use another --crop."
            )
        if math.prod(n // multiple for n in crop) * self.batch < 2:
            raise TrainingError(
                f"Batches of {how_many(self.batch, 'crop')} of {crop} voxels leave less than two voxels at the coarsest of "
                f"{self.architecture.levels} levels, and batch norm needs two. Use a larger --crop or --batch."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and checkpoints."""
        return asdict(self)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then the schedule; next to zero (or the full rate, if constant) at the last step."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    match settings.schedule:
        case "cosine":
            share = 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            share = 1 - done
        case "poly":
            share = (1 - done) ** POLY_POWER
        case "constant":
            share = 1.0
    return settings.rate * share


def difference(before: Mapping[str, Any], now: Mapping[str, Any], *, within: str = "") -> str | None:
    """Say the first setting in which two descriptions differ, such as "rate was 0.001 and is 0.5"; None where none."""
    for key in sorted({*before, *now}):
        was, is_now, name = before.get(key), now.get(key), f"{within}{key}"
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            inner = difference(was, is_now, within=f"{name}.")
            if inner:
                return inner
        elif _plain(was) != _plain(is_now):
            return f"{name} was {_plain(was)} and is {_plain(is_now)}"
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
