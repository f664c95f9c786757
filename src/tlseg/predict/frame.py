"""All maps of a frame held in memory: those a run stores, without stores or tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Spacing
from tlseg.models.bundle import Flips, Model, Role
from tlseg.predict.device import TorchDevice
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import predict_frame


def predict_maps(
    image: NDArray[Any],
    spacing_um: Spacing,
    *,
    model: Model,
    device: TorchDevice = "cpu",
    flips: Flips | None = None,
) -> dict[Role, NDArray[np.uint8]]:
    """Map (z, y, x) of a frame for each network of a model; 255 is certain.

    `flips` overrides the model's own.
    """
    return {
        role: predict_frame(
            image,
            spacing_um,
            spec=model.spec,
            role=role,
            network=load_predictor(str(model.folder), model.digest, role, device, flips=flips),
        )
        for role in model.spec.networks
    }
