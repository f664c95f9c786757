"""How good is a network on embryos it does not learn from? One number, higher is better.

Frames are predicted as they would be in a run, on their own grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from tlseg.errors import TrainingError
from tlseg.geometry import Box, Spacing
from tlseg.label.seeds import candidates, select_seeds, smoothing_window
from tlseg.models.bundle import ModelSpec, Role
from tlseg.models.unet import UNet
from tlseg.predict.infer import Predictor
from tlseg.predict.maps import predict_frame

Frame = tuple[NDArray[Any], NDArray[Any]]


def region_score(
    network: UNet, frames: list[Frame], *, spec: ModelSpec, spacing_um: Spacing, device: Literal["cpu", "cuda"]
) -> float:
    """Mean IoU of the foreground over (image, labels) frames (z, y, x)."""
    scores = []
    for predicted, (_, labels) in zip(
        _maps(network, frames, spec=spec, role="nsn", spacing_um=spacing_um, device=device), frames, strict=True
    ):
        found, truth = predicted >= round(spec.region_threshold * 255), labels > 0
        scores.append(float((found & truth).sum() / max(1, (found | truth).sum())))
    return float(np.mean(scores))


def centre_score(
    network: UNet,
    frames: list[Frame],
    *,
    spec: ModelSpec,
    spacing_um: Spacing,
    device: Literal["cpu", "cuda"],
    tolerance_um: float = 4.0,
) -> float:
    """Detection F1 over all (image, labels) frames: maxima matched one to one to nuclear centroids."""
    window = smoothing_window(spec.centre_smoothing_um, spacing_um)
    hits, wanted, found = 0, 0, 0
    for predicted, (_, labels) in zip(
        _maps(network, frames, spec=spec, role="ndn", spacing_um=spacing_um, device=device), frames, strict=True
    ):
        box = Box.of_shape((labels.shape[0], labels.shape[1], labels.shape[2]))
        everywhere = np.ones(labels.shape, dtype=bool)
        peaks = candidates(
            predicted, everywhere, crop=box, core=box, window=window, threshold=round(spec.centre_threshold * 255)
        )
        seeds = select_seeds(peaks, spacing_um=spacing_um, distance_um=spec.centre_distance_um)
        truth = _centroids(labels)
        wanted, found = wanted + len(truth), found + len(seeds)
        if len(seeds) and len(truth):
            far = cdist(seeds * np.array(spacing_um), truth * np.array(spacing_um))
            rows, columns = linear_sum_assignment(np.where(far <= tolerance_um, far, 1e6))
            hits += int((far[rows, columns] <= tolerance_um).sum())
    return 2 * hits / max(1, wanted + found)


def validator(
    role: Role, frames: list[Frame], *, spec: ModelSpec, spacing_um: Spacing, device: Literal["cpu", "cuda"]
) -> Callable[[UNet], float]:
    """Score of a network of this role on these frames.

    Raises
    ------
    TrainingError
        When there are no frames: nothing would tell good weights from bad ones.
    """
    if not frames:
        raise TrainingError(
            "There is nothing to validate on: no group of the training data is held out. Name one or more of its groups "
            "with --hold-out."
        )
    score = region_score if role == "nsn" else centre_score

    def run(network: UNet) -> float:
        return score(network, frames, spec=spec, spacing_um=spacing_um, device=device)

    return run


def _maps(
    network: UNet,
    frames: list[Frame],
    *,
    spec: ModelSpec,
    role: Role,
    spacing_um: Spacing,
    device: Literal["cpu", "cuda"],
) -> list[NDArray[np.uint8]]:
    predictor = Predictor(network, precision=spec.precision, device=device, batch=spec.batch)

    return [predict_frame(image, spacing_um, spec=spec, role=role, network=predictor) for image, _ in frames]


def _centroids(labels: NDArray[Any]) -> NDArray[np.float64]:
    at = np.argwhere(labels > 0)
    values = labels[labels > 0]
    numbers, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(inverse, weights=at[:, axis], minlength=len(numbers)) for axis in range(3)], axis=1)
    centroids: NDArray[np.float64] = sums / counts[:, None]
    return centroids
