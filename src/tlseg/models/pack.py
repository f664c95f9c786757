"""From the checkpoints of two trainings to a model folder that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tlseg.models.bundle import Model, ModelSpec, NetworkSpec, Role, save_model
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.unet import NDN, NSN, UNetConfig

WINDOW = (64, 160, 160)
OVERLAP = (16, 16, 16)


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
        Further fields of `ModelSpec`, such as thresholds.
    """
    architectures: dict[Role, UNetConfig] = {"nsn": NSN, "ndn": replace(NDN, base=ndn_base)}
    weights: dict[Role, Mapping[str, Tensor]] = {}
    checkpoints: dict[Role, Path] = {"nsn": nsn, "ndn": ndn}
    for role, path in checkpoints.items():
        checkpoint = read_checkpoint(path)
        weights[role] = checkpoint.weights
        architectures[role] = checkpoint.architecture or architectures[role]
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
