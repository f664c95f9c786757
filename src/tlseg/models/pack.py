"""From the checkpoints of two trainings to a model folder that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tlseg.errors import ModelError
from tlseg.geometry import Spacing
from tlseg.models.bundle import Model, ModelSpec, NetworkSpec, Role, save_model
from tlseg.models.checkpoint import Checkpoint, read_checkpoint
from tlseg.models.unet import UNet
from tlseg.rules import rules_of

WINDOW = (64, 160, 160)
OVERLAP = (16, 16, 16)

LABELLING: Mapping[str, Any] = {"centre_saddle": 0.8, "minimum_volume_fraction": 0.15}
"""Shares, which fit nuclei of any size, as in the bundled models; a `model.json` without them means other values."""

OWN_FIELDS = ("name", "networks")
"""Fields of `ModelSpec` that are not settings: packing decides them."""

_TARGETS: dict[Role, tuple[str, ...]] = {"nsn": ("mask",), "ndn": ("centre", "ball")}


def pack(
    folder: str | Path,
    *,
    name: str,
    nsn: Path,
    ndn: Path | None,
    provenance: Mapping[str, Any],
    **settings: Any,
) -> Model:
    """Write a model folder from `best.pt`, or `last.pt`, of NSN and NDN trainings.

    Parameters
    ----------
    nsn, ndn
        The checkpoints; a model without NDN is for the method components.
    provenance
        Data, licence, commands and figures, for the model card.
    settings
        Further fields of `ModelSpec`, such as thresholds; by default spacing and scaling come from the trainings, and
        `LABELLING` decides how maps become labels.

    Raises
    ------
    ModelError
        When a file is not a checkpoint, a network learned the other one's target, its weights do not fit its architecture,
        or the two learned at different voxel spacings or scalings.
    """
    files: dict[Role, Path] = {"nsn": nsn} if ndn is None else {"nsn": nsn, "ndn": ndn}
    checkpoints: dict[Role, Checkpoint] = {}
    grids: set[Spacing] = set()
    for role, path in files.items():
        checkpoints[role] = checkpoint = read_checkpoint(path)
        _check_network(role, path, checkpoint)
        for fact in ("scaling", "spacing_um"):
            rules_of(ModelSpec)[fact].check(f"{path}: {fact}", checkpoint.facts[fact])
        z, y, x = checkpoint.facts["spacing_um"]
        grids.add((z, y, x))
    scaled = {role: checkpoint.facts["scaling"] for role, checkpoint in checkpoints.items()}
    if len(grids) > 1:
        raise ModelError(
            f"{nsn} and {ndn} learned at different voxel spacings, {sorted(grids)} um; a model has only one. Train both "
            "with the same --grid."
        )
    if ndn is not None and scaled["nsn"] != scaled["ndn"]:
        raise ModelError(
            f"{nsn} learned intensities scaled by {scaled['nsn']}, {ndn} by {scaled['ndn']}; a model has only one scaling. "
            "Train both with the same --scaling."
        )
    settings.setdefault("scaling", scaled["nsn"])
    settings.setdefault("spacing_um", grids.pop())
    spec = ModelSpec(
        name=name,
        networks={
            role: NetworkSpec(checkpoint.architecture, f"{role}.safetensors", WINDOW, OVERLAP)
            for role, checkpoint in checkpoints.items()
        },
        provenance=dict(provenance),
        **{**LABELLING, **settings},
    )
    return save_model(folder, spec, weights={role: checkpoint.weights for role, checkpoint in checkpoints.items()})


def check_settings(settings: Any, *, where: str) -> None:
    """Raise `ModelError` if these are not further fields of `model.json`; `where` names the file."""
    if not isinstance(settings, Mapping):
        raise ModelError(
            f"{where} holds a value of type {type(settings).__name__}; expected an object with fields of model.json."
        )
    rules = rules_of(ModelSpec)
    for name, value in settings.items():
        if name in OWN_FIELDS:
            raise ModelError(f"{where} sets {name}, which the command itself determines. Leave it out.")
        if name not in rules:
            known = ", ".join(rule for rule in rules if rule not in OWN_FIELDS)
            raise ModelError(f"{where} sets {name!r}, which is not a field of model.json. The fields are {known}.")
        rules[name].check(f"{where}: {name}", value)


def _check_network(role: Role, path: Path, checkpoint: Checkpoint) -> None:
    """Raise `ModelError` if the network does not fit the role."""
    target, architecture = checkpoint.facts["target"], checkpoint.architecture
    if target not in _TARGETS[role]:
        raise ModelError(
            f"{path} learned the target {target!r}; as {role.upper()} it must be {' or '.join(_TARGETS[role])}. Were "
            "NSN and NDN swapped?"
        )
    try:
        # Without memory for weights that are replaced at once.
        with torch.device("meta"):
            network = UNet(architecture)
        network.load_state_dict(checkpoint.weights, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"The weights in {path} do not fit the network it describes, with {architecture.levels} levels, base "
            f"{architecture.base} and kernel {architecture.kernel}. It is damaged; use another checkpoint of the training."
        ) from error
