"""How good is a network on embryos it does not learn from? One number, higher is better.

Frames are predicted as they would be in a run, on their own grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.config import byte
from tlseg.errors import TrainingError
from tlseg.evaluate.matching import count_near
from tlseg.geometry import Box, Spacing, triple
from tlseg.label.seeds import candidates, select_seeds, smoothing_window
from tlseg.models.bundle import ModelSpec, Role
from tlseg.models.unet import UNet
from tlseg.predict.device import TorchDevice
from tlseg.predict.infer import predictor_of
from tlseg.predict.maps import predict_frame
from tlseg.store.image.stacks import PairPath
from tlseg.store.labels.pairs import read_pair
from tlseg.train.targets import centroids

SCORE_NAMES: dict[Role, str] = {"nsn": "IoU", "ndn": "detection F1"}
MATCH_DISTANCE_UM = 4.0
"""A detection further than this from every centroid does not count: a third of a two-cell mouse nucleus' radius."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One held-out stack: image and instance labels (z, y, x), as stored."""

    image: NDArray[Any]
    labels: NDArray[Any]
    spacing_um: Spacing


def load_frame(path: PairPath) -> Frame:
    """Read a pair for validation."""
    return Frame(*read_pair(path), path.spacing_um)


def region_score(network: UNet, frames: Sequence[Frame], *, spec: ModelSpec, device: TorchDevice) -> float:
    """Mean IoU of the foreground over frames that have nuclei; the others have no IoU of their own."""
    seen = [frame for frame in frames if frame.labels.any()]
    scores = []
    for found, frame in zip(_maps(network, seen, spec=spec, role="nsn", device=device), seen, strict=True):
        region, truth = found >= byte(spec.region_threshold), frame.labels > 0
        scores.append(float((region & truth).sum() / (region | truth).sum()))
    return float(np.mean(scores))


def centre_score(network: UNet, frames: Sequence[Frame], *, spec: ModelSpec, device: TorchDevice) -> float:
    """Detection F1 over all frames: maxima matched one to one to nuclear centroids at most `MATCH_DISTANCE_UM` away."""
    hits, wanted, found = 0, 0, 0
    for heat, frame in zip(_maps(network, frames, spec=spec, role="ndn", device=device), frames, strict=True):
        seeds = detect(heat, spec=spec, spacing_um=frame.spacing_um)
        truth = centroids(frame.labels)
        wanted, found = wanted + len(truth), found + len(seeds)
        scale = np.array(frame.spacing_um)
        hits += count_near(truth * scale, seeds * scale, MATCH_DISTANCE_UM)
    return 2 * hits / max(1, wanted + found)


def detect(heat: NDArray[np.uint8], *, spec: ModelSpec, spacing_um: Spacing) -> NDArray[np.int64]:
    """Seeds (n, 3) in voxels that a model with these settings finds in a centre map (z, y, x), all of it foreground."""
    box = Box.of_shape(triple(heat.shape))
    peaks = candidates(
        heat,
        np.ones(heat.shape, dtype=bool),
        crop=box,
        core=box,
        window=smoothing_window(spec.centre_smoothing_um, spacing_um),
        threshold=byte(spec.centre_threshold),
        spacing_um=spacing_um,
    )
    return select_seeds(peaks, spacing_um=spacing_um, distance_um=spec.centre_distance_um)


def validator(role: Role, frames: Sequence[Frame], *, spec: ModelSpec, device: TorchDevice) -> Callable[[UNet], float]:
    """Score of a network of this role on these frames.

    Raises
    ------
    TrainingError
        When there are no frames, or no nuclei in them: good weights could not be told from bad ones.
    """
    if not frames:
        raise TrainingError(
            "There is nothing to validate on: no group of the training data is held out. Name one or more of its groups "
            "with --hold-out."
        )
    if not any(frame.labels.any() for frame in frames):
        raise TrainingError(
            f"There is nothing to validate on: no stack of the {len(frames)} held out has a nucleus. Hold out a group "
            "that has some."
        )
    score = region_score if role == "nsn" else centre_score
    return partial(score, frames=frames, spec=spec, device=device)


def _maps(
    network: UNet, frames: Sequence[Frame], *, spec: ModelSpec, role: Role, device: TorchDevice
) -> list[NDArray[np.uint8]]:
    predictor = predictor_of(network, spec, device=device)
    return [predict_frame(f.image, f.spacing_um, spec=spec, role=role, network=predictor) for f in frames]
