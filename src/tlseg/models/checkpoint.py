"""What did a training leave? Weights of `best.pt` and `last.pt`, in the form of this version and of earlier ones.

Loading runs no code that the file brings along.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tlseg.errors import ModelError
from tlseg.models.unet import UNetConfig


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights, the architecture they are of where the file says so, and what else it says in plain values."""

    weights: Mapping[str, Tensor]
    architecture: UNetConfig | None
    facts: Mapping[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read `best.pt`, or the averaged weights of `last.pt`.

    Raises
    ------
    ModelError
        When the file is no checkpoint of a training.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} is not a checkpoint of a training: {str(error).splitlines()[0]}.") from error
    if not isinstance(state, Mapping):
        raise ModelError(f"{path} is not a checkpoint of a training: it holds a {type(state).__name__}.")
    facts = {k: v for k, v in state.items() if k not in ("network", "averaged", "optimizer")}
    weights: Mapping[str, Tensor]
    if "averaged" in state:
        named = state["averaged"].items()
        weights = {k.removeprefix("module."): v for k, v in named if k.startswith("module.")}
    elif "network" in state:
        weights = state["network"]
    else:
        weights, facts = state, {}
    if not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ModelError(f"{path} holds no weights of a network; give the best.pt or last.pt of a training.")
    stated = facts.get("architecture")
    return Checkpoint(weights, UNetConfig(**stated) if stated else None, facts)
