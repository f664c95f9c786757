"""Where does a training start? With weights from another training, if the architecture is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from tlseg.errors import TrainingError
from tlseg.models.bundle import Role, load_model
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.unet import UNet, UNetConfig

_OPTIONS = {"base": "--base", "activation": "--activation", "output": "--output", "skip": "--no-skip"}


def starting_weights(name: str | Path, *, role: Role, architecture: UNetConfig) -> Mapping[str, Tensor]:
    """Weights of a bundled model, a model folder, or a training's `best.pt` or `last.pt`.

    Raises
    ------
    TrainingError
        When their architecture differs.
    ModelError
        When the model does not exist, or the file contains no weights.
    """
    if Path(name).is_file():
        checkpoint = read_checkpoint(name)
        weights, found = checkpoint.weights, checkpoint.architecture
    else:
        model = load_model(name)
        if role not in model.spec.networks:
            raise TrainingError(f"The model {name} has no network {role} to start from.")
        weights, found = model.network(role).state_dict(), model.spec.networks[role].architecture
    if found != architecture:
        raise TrainingError(f"{name} has another architecture: {_differences(found, architecture)}.")
    expected = UNet(architecture).state_dict()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in expected.items()}:
        raise TrainingError(
            f"{name} has another architecture than {architecture}. Choose the one it was trained with (--base and others)."
        )
    return weights


def _differences(found: UNetConfig, wanted: UNetConfig) -> str:
    before, now = asdict(found), asdict(wanted)
    different = [
        f"its {key} is {before[key]}, this training's {now[key]}" + (f" ({_OPTIONS[key]})" if key in _OPTIONS else "")
        for key in before
        if before[key] != now[key]
    ]
    return "; ".join(different)
