"""From the checkpoints of two trainings to a model folder that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tlseg.errors import ModelError
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
    nsn: Path | None,
    ndn: Path | None,
    model: Model | None = None,
    provenance: Mapping[str, Any],
    **settings: Any,
) -> Model:
    """Write a model folder from `best.pt`, or `last.pt`, of NSN and NDN trainings.

    Parameters
    ----------
    nsn, ndn
        The checkpoints; a model without NDN is for the method components.
    model
        Where the network that is not given, and all settings, come from: what one network was fine-tuned from.
    provenance
        Data, licence, commands and figures, for the model card.
    settings
        Further fields of `ModelSpec`, such as thresholds; by default those of `model`. Without it, spacing and scaling come
        from the trainings, and `LABELLING` decides how maps become labels.

    Raises
    ------
    ModelError
        When a file is not a checkpoint, a network learned the other one's target, its weights do not fit its architecture,
        or two networks learned at different voxel spacings or scalings.
    """
    given: dict[Role, Path | None] = {"nsn": nsn, "ndn": ndn}
    files = {role: path for role, path in given.items() if path is not None}
    if "nsn" not in files and (model is None or not files):
        raise ModelError(
            "There is no checkpoint to pack. Give --nsn; or --model, and the network that takes its place."
        )
    trained = {role: _checked(role, path) for role, path in files.items()}
    learned = [(str(path), trained[role].facts) for role, path in files.items()]
    weights = {role: checkpoint.weights for role, checkpoint in trained.items()}
    networks = {role: _network(role, checkpoint) for role, checkpoint in trained.items()}
    if model is None:
        _check_same(learned)
        taken = {fact: learned[0][1][fact] for fact in ("spacing_um", "scaling")}
        values = {**LABELLING, **taken, **settings, "provenance": dict(provenance)}
        return save_model(folder, ModelSpec(name=name, networks=networks, **values), weights=weights)
    old = model.spec
    _check_same([*learned, (str(model.folder), {"spacing_um": old.spacing_um, "scaling": old.scaling})])
    origin = {"model": {"name": old.name, "digest": model.digest, **old.provenance}}
    values = {"description": "", **settings, "provenance": {**origin, **provenance}}
    spec = replace(old, name=name, networks={**old.networks, **networks}, **values)
    return save_model(folder, spec, weights=weights, others=model)


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


def _network(role: Role, checkpoint: Checkpoint) -> NetworkSpec:
    return NetworkSpec(checkpoint.architecture, f"{role}.safetensors", WINDOW, OVERLAP)


def _check_same(learned: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Raise `ModelError` if networks, each named by where it is, did not learn on the same grid and scaling."""
    for fact, option, what in (("spacing_um", "--grid", "voxel spacings"), ("scaling", "--scaling", "scalings")):
        (one, first), *others = ((where, facts[fact]) for where, facts in learned)
        for other, value in others:
            # A grid that was rescaled and one that was typed differ in their last bits.
            if not (value == first if fact == "scaling" else np.allclose(value, first, rtol=1e-6)):
                raise ModelError(
                    f"{one} and {other} learned at different {what}, {first} and {value}; a model has only one. Train "
                    f"both with the same {option}."
                )


def _checked(role: Role, path: Path) -> Checkpoint:
    """Read a checkpoint; raise `ModelError` if what it learned does not fit the role, or cannot be meant."""
    checkpoint = read_checkpoint(path)
    _check_network(role, path, checkpoint)
    for fact in ("scaling", "spacing_um"):
        rules_of(ModelSpec)[fact].check(f"{path}: {fact}", checkpoint.facts[fact])
    z, y, x = checkpoint.facts["spacing_um"]
    return replace(checkpoint, facts={**checkpoint.facts, "spacing_um": (float(z), float(y), float(x))})


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
