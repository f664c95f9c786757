"""From a network's name and a few choices to the settings of its training; the rest is as published, or better.

The same names are options of `tlseg train` and keys of its configuration files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal

from tlseg.config import Scaling
from tlseg.errors import TrainingError
from tlseg.geometry import Shape, Spacing
from tlseg.models.bundle import ModelSpec, NetworkSpec, Role
from tlseg.models.unet import NDN, NSN, UNET3D, Activation, Output, UNetConfig
from tlseg.train.config import check_keys
from tlseg.train.settings import Precision, SampleSettings, Target, TrainSettings

Network = Literal["nsn", "ndn", "unet3d"]
ARCHITECTURES: Mapping[Network, UNetConfig] = {"nsn": NSN, "ndn": NDN, "unet3d": UNET3D}

AUGMENTATIONS = tuple(
    f.name for f in fields(SampleSettings) if f.name not in ("spacing_um", "crop", "scaling", "simulated")
)
"""Names of `SampleSettings` that describe how crops are disturbed."""

_WINDOW, _OVERLAP = (64, 128, 128), (16, 16, 16)


def recipe(
    network: Network,
    *,
    base: int | None = None,
    target: Target | None = None,
    output: Output = "sigmoid",
    activation: Activation = "relu",
    skip: bool = True,
    loss: str | None = None,
    crop: Shape | None = None,
    grid_um: Spacing | None = None,
    scaling: Scaling = "quantiles",
    precision: Precision | None = None,
    simulated: float = 0.0,
    augment: Mapping[str, Any] | None = None,
    **others: Any,
) -> TrainSettings:
    """Settings of a training.

    Parameters
    ----------
    network
        "nsn" (regions), "ndn" (centres) or "unet3d" (the baseline, regions).
    base
        Channels of the first convolution; by default as published.
    target
        "mask", "centre" (heat map) or "ball"; by default the mask for regions, the heat map for centres.
    output, activation, skip
        Of the architecture; other than published ones are for ablations.
    loss
        Sum of terms; by default "bce+dice" for masks and "bce" for centres.
    crop, grid_um
        Voxels of a crop, and the voxel spacing (z, y, x) the network learns at.
    scaling
        Intensities of a frame that become 0 and 1: "quantiles", or "extremes" as published.
    precision
        By default "bfloat16", and "float32" for ndn: on CPUs, PyTorch 2.13 gets bfloat16 gradients of its kernels wrong.
    simulated
        Share of crops from simulated embryos.
    augment
        Further fields of `SampleSettings`, by name.
    others
        Further fields of `TrainSettings`, by name.

    Raises
    ------
    TrainingError
        When a choice is invalid.
    """
    regions: bool = role_of(network) == "nsn"
    target = target or ("mask" if regions else "centre")
    if regions != (target == "mask"):
        wanted = "the mask" if regions else "a heat map of centres or balls (centre, ball)"
        raise TrainingError(f"{network} learns {wanted}; the target {target} is for another network.")
    architecture = replace(ARCHITECTURES[network], output=output, activation=activation, skip=skip)
    samples = replace(augmented(augment or {}), scaling=scaling, simulated=simulated)
    settings = TrainSettings(
        architecture=architecture if base is None else replace(architecture, base=base),
        target=target,
        loss=loss or ("bce+dice" if regions else "bce"),
        precision=precision or ("bfloat16" if regions else "float32"),
        samples=replace(samples, crop=crop or samples.crop, spacing_um=grid_um or samples.spacing_um),
        **others,
    )
    settings.check()
    return settings


def role_of(network: Network) -> Role:
    """What a network does in a model: find regions (nsn) or centres (ndn)."""
    return "ndn" if network == "ndn" else "nsn"


def spec_in_training(network: Network, settings: TrainSettings) -> ModelSpec:
    """Describe the model this network would belong to, for validation as in a run."""
    spec = ModelSpec(
        name="in-training",
        networks={role_of(network): NetworkSpec(settings.architecture, "", _WINDOW, _OVERLAP)},
        spacing_um=settings.samples.spacing_um,
        scaling=settings.samples.scaling,
    )
    # A box as wide as for heat maps would average a ball of 33 voxels away.
    return replace(spec, centre_smoothing_um=2.0) if settings.target == "ball" else spec


def augmented(given: Mapping[str, Any]) -> SampleSettings:
    """Settings of samples with these augmentations, numbers and pairs of numbers however a file wrote them.

    Raises
    ------
    TrainingError
        When there is none of such a name, or it does not take such a value.
    """
    check_keys(given, AUGMENTATIONS, where="The table augment")
    defaults = SampleSettings()
    values: dict[str, Any] = {}
    for name, value in given.items():
        pair = isinstance(getattr(defaults, name), tuple)
        try:
            values[name] = _pair(value) if pair else float(value)
        except (TypeError, ValueError) as error:
            wanted = "two numbers" if pair else "a number"
            raise TrainingError(f"The augmentation {name} is {value!r}; expected {wanted}.") from error
    return SampleSettings(**values)


def _pair(value: Any) -> tuple[float, float]:
    low, high = (float(v) for v in value)
    return (low, high)
