"""Figure 3 of Tokuoka et al. 2020, redrawn from real runs: what each method makes of early and late embryos.

    python examples/figure3.py [--stacks Emb11_t051,Emb11_t301,Emb11_t501] [--model MODEL] [--unet3d best.pt] [--out DIR]

Columns are the image, the truth, the 3D U-Net with connected components, NSN alone (without NDN) with connected
components, and the whole model. The 3D U-Net comes from `tlseg train unet3d`; without one its column is left out. Give
stacks that none of the networks saw: Emb11 for the bundled model. Images are the brightest voxel along z, labels the
first one from above. A result has the colour of the truth it fits best; what fits none is white, so a nucleus in the wrong
colour is one that was joined to another.

Maps are kept in DIR, so that a second start only draws. Needs `pip install 'tlseg[train]'` (for matplotlib).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.optimize import linear_sum_assignment

from tlseg.evaluate.overlap import Overlap, count_overlap, overlap_of
from tlseg.evaluate.scores import count, scores_of
from tlseg.geometry import Spacing
from tlseg.label.frame import label_frame
from tlseg.models.bundle import Model, load_model
from tlseg.models.pack import pack
from tlseg.predict.frame import predict_maps
from tlseg.report.pixels import grey_picture, label_colors
from tlseg.store.labels.pairs import find_pairs, read_pair

mpl.use("agg")
from matplotlib import pyplot as plt

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data")) / "bbbc050"
ZOOM = 3
LEAST_IOU = 0.1
WHITE = 255


def main() -> None:
    """Predict, label and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--stacks", default="Emb11_t051,Emb11_t301,Emb11_t501")
    parser.add_argument("--model", default="embryo-without-emb11", help="NSN and NDN: a model's name or folder")
    parser.add_argument("--unet3d", type=Path, help="best.pt of a training of the 3D U-Net without these embryos")
    parser.add_argument("--out", type=Path, default=Path("figure3"))
    options = parser.parse_args()
    model = load_model(options.model)
    unet = None
    if options.unet3d:
        unet = pack(options.out / "unet3d", name="3D U-Net", nsn=options.unet3d, ndn=None, provenance={})
    pairs = {pair.name: pair for pair in find_pairs(options.data)}
    rows = []
    for name in options.stacks.split(","):
        if name not in pairs:
            raise SystemExit(f"{options.data} has no stack {name}; it has {', '.join(list(pairs)[:3])} and others.")
        image, truth = read_pair(pairs[name])
        spacing = pairs[name].spacing_um
        maps = kept_maps(options.out, name, image, spacing, model=model)
        results = {}
        if unet:
            regions = kept_maps(options.out, name, image, spacing, model=unet)["nsn"]
            results["3D U-Net"] = components_of(regions, spacing, model=model)
        results["without NDN"] = components_of(maps["nsn"], spacing, model=model)
        settings = model.spec.label_settings()
        results["full"] = label_frame(maps["nsn"], maps["ndn"], spacing_um=spacing, settings=settings)
        rows.append((name, image, truth, results))
    path = options.out / "figure3.png"
    draw(rows, path)
    print(path)
    if not unet:
        print("The 3D U-Net is left out: train one (tlseg train unet3d) and name its weights with --unet3d.")


def kept_maps(
    folder: Path, name: str, image: np.ndarray, spacing_um: Spacing, *, model: Model
) -> Mapping[str, np.ndarray]:
    """Maps of a model, computed once for each `name`."""
    path = folder / model.digest[:16] / f"{name}.npz"
    if not path.is_file():
        maps = predict_maps(image, spacing_um, model=model)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez_compressed(beside, **maps)
        beside.replace(path)
    return np.load(path)


def components_of(regions: np.ndarray, spacing_um: Spacing, *, model: Model) -> np.ndarray:
    """Connected regions as instances."""
    settings = model.spec.label_settings("components")
    return label_frame(regions, np.zeros_like(regions), spacing_um=spacing_um, settings=settings)


# --- drawing -------------------------------------------------------------------------------------------------------


def draw(rows: list[tuple[str, np.ndarray, np.ndarray, dict[str, np.ndarray]]], path: Path) -> None:
    """Draw one row for each stack."""
    titles = ["image", "truth", *rows[0][3]]
    figure, axes = plt.subplots(
        len(rows), len(titles), figsize=(2.5 * len(titles), 2.72 * len(rows)), squeeze=False, layout="constrained"
    )
    for line, (name, image, truth, results) in zip(axes, rows, strict=True):
        line[0].imshow(grey(image), cmap="gray")
        line[1].imshow(picture(truth, truth))
        line[0].set_ylabel(name.replace("_", " "), fontsize=9)
        line[1].set_xlabel(f"{len(np.unique(truth)) - 1} nuclei", fontsize=8)
        for axis, labels in zip(line[2:], results.values(), strict=True):
            overlap = overlap_of(count_overlap(truth, labels, origin=(0, 0, 0)))
            axis.imshow(picture(labels, matched(labels, overlap)))
            said = scores_of(count(overlap, iou_threshold=0.5))
            axis.set_xlabel(f"{len(overlap.result)} found, SEG {said.seg:.2f}, MUCov {said.mucov:.2f}", fontsize=8)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def grey(image: np.ndarray) -> np.ndarray:
    """Brightest voxel along z."""
    flat = image.max(axis=0)
    return grey_picture(flat, (flat.shape[0] * ZOOM, flat.shape[1] * ZOOM))


def matched(labels: np.ndarray, overlap: Overlap) -> np.ndarray:
    """Labels with the numbers of the truth, one to one; -1 where none fits."""
    fit = np.zeros((len(overlap.result), len(overlap.truth)))
    fit[overlap.j, overlap.i] = overlap.iou
    numbers = np.zeros(int(labels.max()) + 1, np.int64)
    numbers[overlap.result.labels.astype(np.int64)] = -1
    for j, i in zip(*linear_sum_assignment(-fit), strict=True):
        if fit[j, i] >= LEAST_IOU:
            numbers[int(overlap.result.labels[j])] = int(overlap.truth.labels[i])
    return numbers[labels]


def picture(labels: np.ndarray, named: np.ndarray) -> np.ndarray:
    """First label from above in the colour of its name, darker with depth, with a dark line around each."""
    seen = labels != 0
    depth = seen.argmax(axis=0)
    first = np.take_along_axis(labels, depth[None], axis=0)[0].astype(np.int64)
    name = np.take_along_axis(named, depth[None], axis=0)[0].astype(np.int64)
    colors = label_colors(np.maximum(name, 0)).astype(float)
    colors[name < 0] = WHITE
    shade = 1 - 0.45 * depth / len(labels)
    big = [np.repeat(np.repeat(a, ZOOM, axis=0), ZOOM, axis=1) for a in (first, colors * shade[..., None])]
    line = np.zeros(big[0].shape, bool)
    for axis in (0, 1):
        line |= big[0] != np.roll(big[0], 1, axis=axis)
    big[1][line] = 0
    return big[1].astype(np.uint8)


if __name__ == "__main__":
    main()
