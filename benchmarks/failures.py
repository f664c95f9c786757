"""Where do labels go wrong? The worst held-out stacks as pictures.

    python benchmarks/failures.py --fold Emb11=embryo-without-emb11 --out accuracy [--count 3]

Each row is one stack at the plane where most is wrong: the image, the truth and the labels. Nuclei that one object of the
other side matches (IoU above 0.5) are drawn in green; the others in red, where nothing else than their outline is wrong, and
in orange, where they are merged, split, missed or invented. Maps that accuracy.py kept in OUT are used. Writes failures.png.
"""

from __future__ import annotations

import argparse

import numpy as np
from accuracy import ours, scores
from folds import Fold, Stack, add_fold_options, file_of, open_folds
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from tlseg.evaluate.overlap import Overlap, count_overlap, overlap_of

GOOD, OUTLINE, WRONG = (0.2, 0.9, 0.3), (1.0, 0.25, 0.25), (1.0, 0.65, 0.0)
MATCH = 0.5


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_fold_options(parser)
    parser.add_argument("--count", type=int, default=3, help="stacks to draw")
    options = parser.parse_args()
    found = [
        (row["seg"] + row["mucov"], row, fold, stack)
        for fold in open_folds(options)
        for stack in fold.stacks
        for row in [scores(stack.pixels[1], ours(fold, stack), stack.spacing_um)]
    ]
    worst = sorted(found, key=lambda item: item[0])[: options.count]
    figure = Figure(figsize=(9.6, 3.4 * len(worst)), layout="constrained")
    for panels, (_, row, fold, stack) in zip(figure.subplots(len(worst), 3, squeeze=False), worst, strict=True):
        draw(panels, fold, stack, row)
    picture = file_of(options, "failures", "png")
    figure.savefig(picture, dpi=80)
    print(picture)


def draw(panels: np.ndarray, fold: Fold, stack: Stack, row: dict[str, float]) -> None:
    """Draw one stack: image, truth, labels."""
    image, truth = stack.pixels
    labels = ours(fold, stack)
    overlap = overlap_of(count_overlap(truth, labels, origin=(0, 0, 0)))
    colours = fates(overlap)
    wrong = np.isin(truth, [n for n, c in colours[0].items() if c != GOOD])
    z = int((wrong | np.isin(labels, [n for n, c in colours[1].items() if c != GOOD])).sum(axis=(1, 2)).argmax())
    low, high = np.quantile(image, [0.5, 0.999])
    grey = np.clip((image[z].astype(float) - low) / (high - low), 0, 1) ** 0.7
    titles = [
        f"{stack.name}, plane {z}",
        f"truth: {row['nuclei']} nuclei",
        f"SEG {row['seg']:.2f}, MUCov {row['mucov']:.2f}",
    ]
    for panel, objects, of, title in zip(panels, (None, truth, labels), (None, *colours), titles, strict=True):
        shown = np.repeat(grey[..., None], 3, axis=2)
        if objects is not None:
            plane = objects[z]
            edge = find_boundaries(plane, mode="inner")
            shown[edge] = [of[n] for n in plane[edge]]
        panel.imshow(shown, interpolation="nearest")
        panel.set_title(title, fontsize="medium")
        panel.set_axis_off()


def fates(overlap: Overlap) -> tuple[dict[int, tuple[float, ...]], dict[int, tuple[float, ...]]]:
    """Colour of every object of the truth and of the result, by its label."""
    good = overlap.iou > MATCH
    # Bound to one object of the other side, and to no second one.
    tied = overlap.covers_truth | overlap.covers_result
    sides = []
    for objects, rows, others in ((overlap.truth, overlap.i, overlap.j), (overlap.result, overlap.j, overlap.i)):
        of = dict.fromkeys(objects.labels.tolist(), WRONG)
        for k in np.flatnonzero(tied):
            alone = (rows[tied] == rows[k]).sum() == 1 and (others[tied] == others[k]).sum() == 1
            if good[k] or alone:
                of[int(objects.labels[rows[k]])] = GOOD if good[k] else OUTLINE
        sides.append(of)
    return sides[0], sides[1]


if __name__ == "__main__":
    main()
