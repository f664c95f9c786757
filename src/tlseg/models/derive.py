"""From a model to another with the same weights: other settings, or nuclei of another size.

Weights are copied byte by byte, so what a derived model answers on its grid is what the first one answers.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

from tlseg.errors import ModelError
from tlseg.geometry import Spacing, ball_radius
from tlseg.models.bundle import Model, ModelSpec, load_model, writing_model

MOST_TIMES = 1e6
"""Wider or narrower by more than this, nuclei are of no size that a number in micrometres could mean."""

NUCLEUS = 4096
"""Voxels of a network's grid in a nucleus of usual size."""


def nucleus_um(grid_um: Spacing) -> float:
    """Width, as that of a ball, of the nuclei that networks with this grid (z, y, x) know, micrometres."""
    return 2 * float(ball_radius(NUCLEUS * math.prod(grid_um)))


def for_nuclei(spec: ModelSpec, width_um: float) -> ModelSpec:
    """Describe the same model for nuclei this wide, see `rescaled`."""
    return rescaled(spec, width_um / nucleus_um(spec.spacing_um))


def rescaled(spec: ModelSpec, factor: float) -> ModelSpec:
    """Describe the same model for nuclei `factor` times as wide: the grid, lengths and volumes follow.

    Raises
    ------
    ModelError
        When the factor is not a positive number, or no nucleus is that large or small.
    """
    if not 1 / MOST_TIMES <= factor <= MOST_TIMES:
        raise ModelError(
            f"Nuclei cannot be {factor:g} times as wide as those the model knows. Expected from {1 / MOST_TIMES:g} to "
            f"{MOST_TIMES:g} times."
        )
    z, y, x = spec.spacing_um
    return replace(
        spec,
        spacing_um=(z * factor, y * factor, x * factor),
        centre_smoothing_um=spec.centre_smoothing_um * factor,
        centre_distance_um=spec.centre_distance_um * factor,
        centre_reach_um=spec.centre_reach_um * factor,
        minimum_volume_um3=spec.minimum_volume_um3 * factor**3,
        provenance={**spec.provenance, "rescaled": spec.provenance.get("rescaled", 1.0) * factor},
    )


def save_derived(folder: Path, model: Model, spec: ModelSpec) -> Model:
    """Write a model with the weights of `model`, described by `spec`.

    Raises
    ------
    ModelError
        When the folder already exists.
    RunError
        When it cannot be written to disk.
    """
    check_new(folder)
    with writing_model(folder, spec) as part:
        for network in model.spec.networks.values():
            shutil.copyfile(model.folder / network.file, part / network.file)
    return load_model(folder)


def check_new(folder: Path) -> None:
    """Raise `ModelError` if there is anything in the folder that a model is to be written to."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder} already exists. A model is written to a new folder; choose another.")
