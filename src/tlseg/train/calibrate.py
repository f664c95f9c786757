"""Choose settings for a model's weights on embryos it was not trained on.

Thresholds decide how large nuclei come out and which maxima count as centres; both differ from training to training and
from microscope to microscope, so they are measured and not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tlseg.errors import ModelError, TrainingError
from tlseg.models.bundle import Model
from tlseg.models.derive import save_derived
from tlseg.predict.device import TorchDevice
from tlseg.predict.frame import predict_maps
from tlseg.store.image.stacks import PairPath
from tlseg.store.labels.pairs import read_pair
from tlseg.train.choose import Choice, Example
from tlseg.train.samples import check_grid


def predict_examples(
    pairs: Sequence[PairPath],
    *,
    model: Model,
    device: TorchDevice = "cpu",
    report: Callable[[int], None] = lambda done: None,
) -> list[Example]:
    """Predict stacks with truth; `report` is called with the number done.

    Raises
    ------
    ModelError
        When the model has no network for centres, so that there is little to choose.
    TrainingError
        When labels are markers only, or do not fit their images.
    """
    if "ndn" not in model.spec.networks:
        raise ModelError(
            f"The model {model.spec.name!r} has no network for centres (ndn); its settings cannot be chosen."
        )
    examples = []
    for done, pair in enumerate(pairs, start=1):
        if pair.truth == "markers":
            raise TrainingError(
                f"{pair.labels} marks where nuclei are, not their outlines, but choosing settings needs outlines."
            )
        check_grid(pair, model.spec.spacing_um)
        image, truth = read_pair(pair)
        maps = predict_maps(image, pair.spacing_um, model=model, device=device)
        examples.append(Example(maps["nsn"], maps["ndn"], truth, pair.spacing_um))
        report(done)
    return examples


def save_calibrated(folder: Path, model: Model, choice: Choice, *, frames: Sequence[str]) -> Model:
    """Write a model with the same weights and the chosen settings; its provenance says on which frames they were chosen.

    Raises
    ------
    ModelError
        When the folder already exists.
    """
    chosen = {"frames": list(frames), "before": asdict(choice.before), "after": asdict(choice.after)}
    return save_derived(
        folder, model, replace(choice.spec, provenance={**model.spec.provenance, "calibration": chosen})
    )
