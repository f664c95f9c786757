"""What would labels score if the networks made no mistake of one kind? That is the most any remedy for it can gain.

    python benchmarks/ceiling.py --fold Emb11=embryo-without-emb11 --fold Emb03,Emb08=runs/fold38 --out accuracy

Every held-out stack is labelled from the maps accuracy.py keeps, but with the centres or the foreground of the truth, or
the threshold that suits this very stack. A true centre is the innermost voxel of a true nucleus. With both from the truth,
what is missing to 1 is truth that no flood from one centre in each could draw: nuclei that are joined, torn, or left out.

Writes ceiling.md and ceiling.csv (a row for each method and stack) into OUT.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from accuracy import by, by_stage, labelled, ours, score_all, with_stage
from folds import Fold, Stack, add_fold_options, file_of, open_folds, publish
from machine import machine
from scipy import ndimage
from skimage.segmentation import watershed

from tlseg.label.frame import label_frame

THRESHOLDS = range(32, 224, 8)
"""Values of a map, of 255."""


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_fold_options(parser)
    options = parser.parse_args()
    methods = {
        "tlseg": ours,
        "best threshold for each stack": with_best_threshold,
        "true centres": lambda fold, stack: flooded(fold, stack, regions(fold, stack)),
        "true foreground": with_true_foreground,
        "true centres and foreground": lambda fold, stack: flooded(fold, stack, stack.pixels[1] > 0),
    }
    rows = score_all(open_folds(options), methods)
    rows.to_csv(file_of(options, "ceiling", "csv"), index=False)
    parts = [machine(), f"{rows['stack'].nunique()} held-out stacks.", by(rows, ["method"]), "SEG by number of nuclei:"]
    publish(options, "ceiling", "\n\n".join([*parts, by_stage(with_stage(rows), "seg")]))


def regions(fold: Fold, stack: Stack) -> np.ndarray:
    """The foreground of a run."""
    return fold.maps(stack)[0] >= fold.model.spec.label_settings().region_threshold


def with_best_threshold(fold: Fold, stack: Stack) -> np.ndarray:
    """Labels with the threshold that fits the foreground of this truth best."""
    found, truth = fold.maps(stack)[0], stack.pixels[1] > 0
    best = max(THRESHOLDS, key=lambda t: (truth & (found >= t)).sum() / (truth | (found >= t)).sum())
    return labelled(fold, stack, replace(fold.model.spec.label_settings(), region_threshold=best))


def with_true_foreground(fold: Fold, stack: Stack) -> np.ndarray:
    """Labels of a run whose regions are those of the truth."""
    certain = np.where(stack.pixels[1] > 0, 255, 0).astype(np.uint8)
    settings = fold.model.spec.label_settings()
    return label_frame(certain, fold.maps(stack)[1], spacing_um=stack.spacing_um, settings=settings)


def flooded(fold: Fold, stack: Stack, foreground: np.ndarray) -> np.ndarray:
    """Watershed of a foreground from the true centres, on the map of centres."""
    truth = stack.pixels[1]
    markers = np.zeros(truth.shape, np.int32)
    for number, box in enumerate(ndimage.find_objects(truth), 1):
        if box is None:
            continue
        depth = ndimage.distance_transform_edt(np.pad(truth[box] == number, 1), sampling=stack.spacing_um)
        inside = np.unravel_index(depth[1:-1, 1:-1, 1:-1].argmax(), truth[box].shape)
        markers[tuple(part.start + i for part, i in zip(box, inside, strict=True))] = number
    return watershed(-fold.maps(stack)[1].astype(np.int16), markers, mask=foreground)


if __name__ == "__main__":
    main()
