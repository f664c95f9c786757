"""From the checkpoints of two trainings to a model folder that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tlseg.config import Scaling
from tlseg.errors import ModelError
from tlseg.geometry import Spacing
from tlseg.models.bundle import Model, ModelSpec, NetworkSpec, Role, save_model
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.unet import NDN, NSN, UNetConfig

WINDOW = (64, 160, 160)
OVERLAP = (16, 16, 16)
DEFAULT_SPACING_UM = (1.6, 0.8, 0.8)
"""Of checkpoints that do not say so themselves."""


def pack(
    folder: str | Path,
    *,
    name: str,
    nsn: Path,
    ndn: Path,
    ndn_base: int,
    provenance: Mapping[str, Any],
    **settings: Any,
) -> Model:
    """Write a model folder from `best.pt`, or `last.pt`, of NSN and NDN trainings.

    Parameters
    ----------
    ndn_base
        Channels of NDN's first convolution, as trained; for checkpoints that do not say so themselves.
    provenance
        Data, licence, commands and figures, for the model card.
    settings
        Further fields of `ModelSpec`, such as thresholds; spacing and scaling are by default what the trainings say.

    Raises
    ------
    ModelError
        When a file is no checkpoint, or the two networks learned at different voxel spacings or scalings.
    """
    architectures: dict[Role, UNetConfig] = {"nsn": NSN, "ndn": replace(NDN, base=ndn_base)}
    weights: dict[Role, Mapping[str, Tensor]] = {}
    checkpoints: dict[Role, Path] = {"nsn": nsn, "ndn": ndn}
    scaled: dict[Role, Scaling] = {}
    grids: set[Spacing] = set()
    for role, path in checkpoints.items():
        checkpoint = read_checkpoint(path)
        weights[role] = checkpoint.weights
        architectures[role] = checkpoint.architecture or architectures[role]
        scaled[role] = checkpoint.facts.get("scaling", "quantiles")
        if "spacing_um" in checkpoint.facts:
            grids.add(checkpoint.facts["spacing_um"])
    if len(grids) > 1:
        raise ModelError(
            f"{nsn} and {ndn} learned at different voxel spacings, {sorted(grids)} um; a model has one. Train both with the "
            "same --grid."
        )
    if scaled["nsn"] != scaled["ndn"]:
        raise ModelError(
            f"{nsn} learned intensities scaled by {scaled['nsn']}, {ndn} by {scaled['ndn']}; a model scales a frame once. "
            "Train both with the same --scaling."
        )
    settings.setdefault("scaling", scaled["nsn"])
    settings.setdefault("spacing_um", grids.pop() if grids else DEFAULT_SPACING_UM)
    spec = ModelSpec(
        name=name,
        networks={
            role: NetworkSpec(architecture, f"{role}.safetensors", WINDOW, OVERLAP)
            for role, architecture in architectures.items()
        },
        provenance=dict(provenance),
        **settings,
    )
    return save_model(folder, spec, weights=weights)
