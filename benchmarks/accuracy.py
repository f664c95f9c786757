"""How good are the labels on embryos the networks never saw, by stack, by embryo and by stage?

    python benchmarks/accuracy.py --fold Emb11=embryo-without-emb11 --fold Emb03,Emb08=runs/fold38 --out accuracy [--choose]
        [--labels NAME=FOLDER ...]

Every stack is predicted by the model it was held out of and labelled by the code of a run. The same maps are also labelled
without centres (connected components), by the classical watershed on distances, and with the other relief; with
`--choose` also with settings chosen on the other folds, which this fold had no part in. `--labels` adds what another
program made: a folder of label stacks named like the truth.

Scores are means over images; splits, merges, misses and extras are sums; the volume bias is that of all foreground. Writes
accuracy.md, accuracy.csv (a row for each method and stack) and accuracy.json into OUT, with `--planes` accuracy-planes.md
and so on, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from folds import Fold, Stack, add_fold_options, file_of, open_folds, publish
from machine import machine, table
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from tlseg.config import LabelSettings, Relief
from tlseg.evaluate.matching import count_detections
from tlseg.evaluate.overlap import count_overlap, overlap_of
from tlseg.evaluate.scores import count, precision_recall, scores_of
from tlseg.geometry import Spacing
from tlseg.label.frame import label_frame
from tlseg.label.small import large_enough
from tlseg.models.bundle import ModelSpec
from tlseg.store.image.stacks import read_stack
from tlseg.train.choose import choose

OURS, CHOSEN = "tlseg", "tlseg, settings from the other folds"
STAGES = {"2": (1, 2), "3-4": (3, 4), "5-8": (5, 8), "9-16": (9, 16), "17-31": (17, 31), "32+": (32, 10**9)}
"""Stages by the number of nuclei in the truth."""
TOLERANCE_UM = 5.0

Method = Callable[[Fold, Stack], np.ndarray]
"""Labels (z, y, x) of a held-out stack."""


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_fold_options(parser)
    parser.add_argument("--labels", action="append", default=[], metavar="NAME=FOLDER", help="labels made elsewhere")
    parser.add_argument("--choose", action="store_true", help="also choose settings on the other folds (minutes)")
    options = parser.parse_args()
    folds = open_folds(options)
    other: Relief = "centre" if folds[0].model.spec.relief == "distance" else "distance"
    methods: dict[str, Method] = {
        OURS: ours,
        f"tlseg, {other} as relief": with_relief(other),
        "NSN and distance watershed": distance_watershed,
        "NSN and components": components,
    }
    chosen: dict[str, dict[str, object]] = {}
    if options.choose:
        specs = {fold.model.digest: chosen_elsewhere(fold, folds) for fold in folds}
        methods[CHOSEN] = lambda fold, stack: labelled(fold, stack, specs[fold.model.digest].label_settings())
        chosen = {",".join(groups_of(f)): changed(f.model.spec, specs[f.model.digest]) for f in folds}
    for text in options.labels:
        name, _, folder = text.partition("=")
        methods[name] = stored_in(Path(folder))
    rows = score_all(folds, methods)
    text = report(rows, chosen)
    rows.to_csv(file_of(options, "accuracy", "csv"), index=False)
    whole = {"machine": machine(), "chosen": chosen, "rows": json.loads(rows.to_json(orient="records"))}
    file_of(options, "accuracy", "json").write_text(json.dumps(whole, indent=2) + "\n")
    publish(options, "accuracy", text)


def score_all(folds: Iterable[Fold], methods: Mapping[str, Method]) -> pd.DataFrame:
    """A row for each method and held-out stack."""
    rows = []
    for fold in folds:
        for stack in fold.stacks:
            truth = stack.pixels[1]
            crumbs = too_small(truth, fold, stack)
            for name, method in methods.items():
                found = scores(truth, method(fold, stack), stack.spacing_um)
                rows.append({"method": name, "embryo": stack.group, "stack": stack.name, "too_small": crumbs} | found)
            print(f"\r{stack.name} ", end="", flush=True)
    print("\r", end="")
    return pd.DataFrame(rows)


def too_small(truth: np.ndarray, fold: Fold, stack: Stack) -> int:
    """True objects so small that these settings drop them."""
    voxels = np.unique(truth[truth > 0], return_counts=True)[1]
    settings = fold.model.spec.label_settings()
    return int((~large_enough(voxels, frame=truth.shape, spacing_um=stack.spacing_um, settings=settings)).sum())


def scores(truth: np.ndarray, labels: np.ndarray, spacing_um: Spacing) -> dict[str, float]:
    """What one comparison says."""
    overlap = overlap_of(count_overlap(truth, labels, origin=(0, 0, 0)))
    counts = count(overlap, iou_threshold=0.5)
    own = scores_of(counts)
    near = count_detections(overlap, TOLERANCE_UM, spacing_um)
    return {
        "nuclei": counts.n_truth,
        "found": counts.n_result,
        "iou": own.iou,
        "seg": own.seg,
        "mucov": own.mucov,
        "f1": precision_recall(near, counts.n_truth, counts.n_result)[2],
        "splits": counts.splits,
        "merges": counts.merges,
        "misses": counts.misses,
        "extras": counts.extras,
        "truth_voxels": counts.truth_voxels,
        "found_voxels": counts.result_voxels,
    }


# --- methods -------------------------------------------------------------------------------------------------------


def ours(fold: Fold, stack: Stack) -> np.ndarray:
    return labelled(fold, stack, fold.model.spec.label_settings())


def with_relief(relief: Relief) -> Method:
    """The same with another relief."""
    return lambda fold, stack: labelled(fold, stack, replace(fold.model.spec.label_settings(), relief=relief))


def components(fold: Fold, stack: Stack) -> np.ndarray:
    return labelled(fold, stack, fold.model.spec.label_settings("components"))


def distance_watershed(fold: Fold, stack: Stack) -> np.ndarray:
    """Watershed of NSN's mask from maxima of the smoothed distance to background, as done without a second network."""
    settings = fold.model.spec.label_settings()
    regions, _ = fold.maps(stack)
    mask = regions >= settings.region_threshold
    distance = ndimage.distance_transform_edt(mask, sampling=stack.spacing_um)
    smooth = ndimage.gaussian_filter(distance, 1.0 / np.array(stack.spacing_um))
    peaks = peak_local_max(smooth, min_distance=5, labels=mask.astype(int), exclude_border=False)
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-smooth, markers, mask=mask)
    kept = large_enough(
        np.bincount(labels.ravel())[1:], frame=mask.shape, spacing_um=stack.spacing_um, settings=settings
    )
    return np.where(np.concatenate([[False], kept])[labels], labels, 0)


def stored_in(folder: Path) -> Method:
    """Labels another program made, in stacks named like the truth."""
    return lambda fold, stack: read_stack(next(folder.glob(f"{stack.name}.tif*")))


def labelled(fold: Fold, stack: Stack, settings: LabelSettings) -> np.ndarray:
    return label_frame(*fold.maps(stack), spacing_um=stack.spacing_um, settings=settings)


def chosen_elsewhere(fold: Fold, folds: list[Fold]) -> ModelSpec:
    """Settings that suit the other folds best; this one has no part in them."""
    others = [other.example(stack) for other in folds if other is not fold for stack in other.stacks]
    return choose(others, fold.model.spec).spec if others else fold.model.spec


def changed(before: ModelSpec, after: ModelSpec) -> dict[str, object]:
    """Settings that were chosen, where they differ."""
    old, new = before.to_dict(), after.to_dict()
    return {name: value for name, value in new.items() if value != old[name]}


def groups_of(fold: Fold) -> list[str]:
    return sorted({stack.group for stack in fold.stacks})


# --- tables --------------------------------------------------------------------------------------------------------

HEADERS = ["images", "nuclei", "IoU", "SEG", "MUCov", "F1", "splits", "merges", "misses", "extras", "volume"]


def report(rows: pd.DataFrame, chosen: Mapping[str, object]) -> str:
    """All tables, as Markdown."""
    first = rows[rows["method"] == OURS]
    parts = [machine(), f"Means over {first['stack'].nunique()} images:", by(rows, ["method"])]
    for groups, settings in chosen.items():
        parts.append(f"Chosen for {groups} on the other folds: {settings or 'nothing else'}.")
    for stage, some in (("up to 15", first[first["nuclei"] < 16]), ("16 and more", first[first["nuclei"] >= 16])):
        small, all_of_them = int(some["too_small"].sum()), int(some["nuclei"].sum())
        parts.append(
            f"In stacks of {stage} nuclei, {small} of {all_of_them} true ones are smaller than what is dropped."
        )
    parts += ["By embryo:", by(first, ["embryo"])]
    staged = with_stage(rows)
    parts += ["By number of nuclei:", by(staged[staged["method"] == OURS], ["stage"])]
    for score, told in (("seg", "SEG"), ("mucov", "MUCov")):
        parts += [f"{told} of every method by number of nuclei:", by_stage(staged, score)]
    parts += ["<details><summary>By stack</summary>", by(first, ["stack"]), "</details>"]
    return "\n\n".join(parts)


def by(rows: pd.DataFrame, keys: list[str]) -> str:
    """One line for each value of `keys`."""
    lines = []
    for key, some in rows.groupby(keys, sort=keys != ["method"], observed=True):
        means = [f"{some[name].mean():.3f}" for name in ("iou", "seg", "mucov", "f1")]
        sums = [str(int(some[name].sum())) for name in ("splits", "merges", "misses", "extras")]
        bias = some["found_voxels"].sum() / some["truth_voxels"].sum() - 1
        size = [str(len(some)), str(int(some["nuclei"].sum()))]
        lines.append([*(str(part) for part in key), *size, *means, *sums, f"{bias:+.1%}"])
    return table([*keys, *HEADERS], lines)


def with_stage(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their stage, in the order of the stages."""
    return rows.assign(stage=pd.Categorical([stage_of(n) for n in rows["nuclei"]], list(STAGES), ordered=True))


def stage_means(staged: pd.DataFrame, score: str) -> pd.DataFrame:
    """Mean of a score, a row for each method as they come and a column for each stage in its order."""
    wide = staged.pivot_table(index="method", columns="stage", values=score, observed=True, sort=False)
    return wide[[stage for stage in STAGES if stage in wide]]


def by_stage(staged: pd.DataFrame, score: str) -> str:
    """The same as a table."""
    wide = stage_means(staged, score)
    lines = [
        [str(name), *(f"{v:.3f}" for v in values)] for name, values in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return table(["method", *map(str, wide.columns)], lines)


def stage_of(nuclei: int) -> str:
    """Name of the stage with this many nuclei."""
    return next(name for name, (low, high) in STAGES.items() if low <= nuclei <= high)


if __name__ == "__main__":
    main()
