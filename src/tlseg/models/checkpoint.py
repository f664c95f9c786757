"""What a training leaves: the weights in `best.pt` and `last.pt`, and what they must be used with.

Loading runs no code from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tlseg.errors import ModelError
from tlseg.models.unet import UNetConfig

STATED = ("target", "spacing_um", "scaling")
"""What every checkpoint contains besides its architecture."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights, the architecture they are of, and what else the file says in plain values.

    `facts` always has `target`, `spacing_um` and `scaling`: what the network learned, and what it was shown.
    """

    weights: Mapping[str, Tensor]
    architecture: UNetConfig
    facts: Mapping[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read `best.pt`, or the averaged weights of `last.pt`.

    Raises
    ------
    ModelError
        When the file is not a training checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or 'the system gives no reason'}.") from error
    except MemoryError:
        raise
    # Other bytes make the reader fail in any way it has, and its advice is to let files run code.
    except Exception as error:
        raise _refusal(path, "it is empty, damaged or another kind of file") from error
    if not isinstance(state, Mapping):
        raise _refusal(path, f"it holds a value of type {type(state).__name__}")
    facts = {k: v for k, v in state.items() if k not in ("network", "averaged", "optimizer")}
    weights: Any
    if "averaged" in state:
        weights = state["averaged"]
        if _are_weights(weights):
            weights = {k.removeprefix("module."): v for k, v in weights.items() if k.startswith("module.")}
    else:
        weights = state.get("network")
    if not weights or not _are_weights(weights):
        raise _refusal(path, "it contains no network weights")
    unsaid = [name for name in ("architecture", *STATED) if name not in facts]
    if unsaid:
        raise _refusal(path, f"it does not give the {' and the '.join(unsaid)} of its network")
    return Checkpoint(weights, _architecture(path, facts["architecture"]), facts)


def _architecture(path: str | Path, stated: Any) -> UNetConfig:
    """Architecture that a checkpoint states."""
    try:
        return UNetConfig(**stated)
    except ModelError as error:
        raise _refusal(path, f"its architecture is invalid: {error}") from error
    except TypeError as error:
        raise _refusal(path, "its architecture is not described as this version expects") from error


def _are_weights(values: Any) -> bool:
    return isinstance(values, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in values.items())


def _refusal(path: str | Path, why: str) -> ModelError:
    why = why.rstrip(".")
    return ModelError(f"{path} is not a training checkpoint: {why}. Give the best.pt or last.pt of a training.")
