"""Which label settings fit a model's maps best?

Networks are trained first; thresholds and distances are chosen afterwards, on embryos the networks were not trained on,
through the same code that labels a movie. The search changes one setting at a time and tries every value of a fixed table,
so the same maps give the same settings everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.config import LabelSettings, byte
from tlseg.errors import TrainingError
from tlseg.evaluate.overlap import count_overlap, overlap_of
from tlseg.evaluate.scores import Counts, add_counts, count, mean_scores
from tlseg.geometry import Spacing, ball_radius, triple, volume_um3
from tlseg.label.block import detect_halo
from tlseg.label.frame import label_frame
from tlseg.models.bundle import ModelSpec

BIAS_ALLOWED = 0.03
"""Volume bias, either way, that costs nothing; any excess is subtracted from the score."""

LEAST_GAIN = 5e-4
"""A setting is changed only where that gains more than this: less is noise of the few embryos at hand."""

Table = Mapping[str, tuple[Any, ...]]
"""For names of `ModelSpec` fields, the values to try, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Example:
    """Maps of one frame and its true instances, all (z, y, x) on one grid."""

    regions: NDArray[np.uint8]
    centres: NDArray[np.uint8]
    truth: NDArray[Any]
    spacing_um: Spacing


@dataclass(frozen=True, slots=True)
class Quality:
    """How good labels are: IoU, SEG and MUCov as means over frames, and how much too large their foreground is."""

    iou: float
    seg: float
    mucov: float
    volume_bias: float

    @property
    def score(self) -> float:
        """What is maximised: the mean of the three, less what the volume bias has in excess of `BIAS_ALLOWED`."""
        return (self.iou + self.seg + self.mucov) / 3 - max(0.0, abs(self.volume_bias) - BIAS_ALLOWED)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: the model with its new settings, quality before and after, and how many settings were tried."""

    spec: ModelSpec
    before: Quality
    after: Quality
    tried: int


def values_to_try(examples: Sequence[Example]) -> Table:
    """Values of every setting; those in micrometres are in proportion to the nuclei of the truth.

    Raises
    ------
    TrainingError
        When the truth contains no nucleus.
    """
    volume = _median_volume_um3(examples)
    diameter = 2 * float(ball_radius(volume))
    # Three digits of either; of nuclei as large as those of embryos tenths of a micrometre and whole cubic ones.
    places, cubic = max(1, 2 - math.floor(math.log10(diameter))), max(0, 3 - math.floor(math.log10(volume)))
    return {
        "region_threshold": tuple(round(0.3 + 0.05 * i, 2) for i in range(10)),
        "centre_threshold": tuple(round(0.2 + 0.1 * i, 1) for i in range(7)),
        "centre_smoothing_um": tuple(round(f * diameter, places) for f in (0.0, 0.1, 0.2, 0.3, 0.4)),
        "centre_distance_um": tuple(round(f * diameter, places) for f in (0.2, 0.3, 0.4, 0.5, 0.6)),
        "centre_saddle": (1.0, 0.9, 0.8, 0.7),
        "relief": ("distance", "centre"),
        "minimum_volume_um3": tuple(round(f * volume, cubic) for f in (0.0, 0.02, 0.05, 0.1)),
        "minimum_volume_fraction": (0.0, 0.1, 0.15, 0.2, 0.25),
    }


def choose(
    examples: Sequence[Example],
    spec: ModelSpec,
    *,
    table: Table | None = None,
    report: Callable[[int, Quality], None] = lambda tried, quality: None,
) -> Choice:
    """Search the settings that label these frames best, from those the model has.

    Parameters
    ----------
    examples
        Frames the networks were not trained on.
    spec
        Where the search begins.
    table
        Values to try; `values_to_try` if not given.
    report
        Called after each trial with the number of trials and the best quality so far.

    Raises
    ------
    TrainingError
        When there are no examples, or no nuclei in them.
    """
    if not examples:
        raise TrainingError(
            "There are no frames to choose settings on. Name groups that the networks did not learn from."
        )
    wanted = values_to_try(examples) if table is None else table
    examples = [_where_it_matters(example, spec, wanted) for example in examples]
    known: dict[tuple[Any, ...], Quality] = {}

    def quality(candidate: ModelSpec) -> Quality:
        key = tuple(getattr(candidate, name) for name in wanted)
        if key not in known:
            known[key] = quality_of(examples, candidate)
        return known[key]

    best, before = spec, quality(spec)
    settled: ModelSpec | None = None
    while settled != best:
        settled = best
        for name, values in wanted.items():
            for value in values:
                candidate = replace(best, **{name: value})
                if quality(candidate).score > quality(best).score + LEAST_GAIN:
                    best = candidate
                report(len(known), quality(best))
    return Choice(best, before, quality(best), len(known))


def quality_of(examples: Sequence[Example], spec: ModelSpec) -> Quality:
    """Label all frames as a run with this model would, and compare them with the truth."""
    counts = [_count(example, spec) for example in examples]
    mean, total = mean_scores(counts), add_counts(counts)
    if mean.iou is None or mean.seg is None or mean.mucov is None:
        raise TrainingError("The labels to compare with contain no nucleus.")
    return Quality(mean.iou, mean.seg, mean.mucov, total.result_voxels / total.truth_voxels - 1)


def _count(example: Example, spec: ModelSpec) -> Counts:
    labels = label_frame(
        example.regions, example.centres, spacing_um=example.spacing_um, settings=spec.label_settings()
    )
    return count(overlap_of(count_overlap(example.truth, labels, origin=(0, 0, 0))), iou_threshold=0.5)


def _where_it_matters(example: Example, spec: ModelSpec, table: Table) -> Example:
    """Crop a frame to all that any setting in the table could label, and what smoothing sees around it.

    Labels in the crop are those of the frame: positions keep their order, and beyond lies background only.
    """
    lowest = min(spec.region_threshold, *table.get("region_threshold", (1.0,)))
    widest = max(spec.centre_smoothing_um, *table.get("centre_smoothing_um", (0.0,)))
    seen = np.argwhere((example.regions >= byte(lowest)) | (example.truth > 0))
    if not len(seen):
        return example
    halo = detect_halo(LabelSettings(centre_smoothing_um=widest), example.spacing_um)
    crop = tuple(
        slice(max(0, int(low) - n), int(high) + 1 + n)
        for low, high, n in zip(seen.min(axis=0), seen.max(axis=0), halo, strict=True)
    )
    return Example(example.regions[crop], example.centres[crop], example.truth[crop], example.spacing_um)


def _median_volume_um3(examples: Sequence[Example]) -> float:
    """Median volume of all true instances."""
    volumes = []
    for example in examples:
        voxels = np.unique(example.truth[example.truth > 0], return_counts=True)[1]
        volumes.append(volume_um3(voxels, frame=triple(example.truth.shape), spacing_um=example.spacing_um))
    every = np.concatenate([np.zeros(0), *volumes])
    if not len(every):
        raise TrainingError("The labels to choose settings on contain no nucleus.")
    return float(np.median(every))
