"""QCANet as published: what does its own pipeline make of a stack, and how much of its error is resizing?

    python benchmarks/published.py perfect [--data DIR] [--groups Emb11]
    python benchmarks/published.py run --nsn FILE --ndn FILE --out OUT [--data DIR] [--groups Emb11]

The pipeline of github.com/funalab/QCANet (`qca_net.py`, `test_nsn.py`, `test_ndn.py` with the settings of Tokuoka et al.
2020): planes are interpolated to the spacing of x and y, intensities scaled to their extremes, windows of side 96 with
stride 48 laid over the mirrored stack, of which the middles are kept; a voxel is foreground where class 1 beats class 0.
Both masks are resized back with linear interpolation and taken where they are `> 0`. Connected components of NDN's mask
are the markers of a watershed on the distances inside NSN's. Batch norms see the statistics of each window, since the
published code never leaves Chainer's training mode.

perfect  takes the truth for what the networks answer, so that nothing but resizing is left to be wrong.
run      takes networks: checkpoints of `tlseg train`, a model folder, or the published files themselves.

Either way everything is done twice: with `> 0`, and with masks taken where they are at least one half. Labels are written
as TIFF stacks and not made again by a second start; `accuracy.py --labels NAME=FOLDER` scores them beside others.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
import torch
from machine import machine, table
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed
from skimage.transform import resize

from tlseg.errors import ModelError
from tlseg.evaluate.overlap import count_overlap, overlap_of
from tlseg.evaluate.scores import Counts, count, mean_scores
from tlseg.models.bundle import Role, load_model
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.foreign import EPSILON, read_foreign
from tlseg.models.imported import architecture_of, state_of
from tlseg.models.unet import UNet
from tlseg.store.image.stacks import PairPath, read_stack
from tlseg.store.labels.pairs import find_pairs
from tlseg.train.targets import ball_target

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data")) / "bbbc050"

SIDE, STRIDE = 96, 48
Z_FACTOR = 2.18
"""Planes for each plane of a stack (default of the published command line; 1.75 um over 0.8 um)."""

Rule = Literal["positive", "half"]
RULES: tuple[Rule, ...] = ("positive", "half")
TOLD = {"positive": "masks > 0, as published", "half": "masks >= 0.5"}

Network = Callable[[np.ndarray], np.ndarray]
"""Mask (z, y, x) of a window of scaled intensities."""


@dataclass(frozen=True)
class Masks:
    """What the two networks say, bool on the interpolated grid."""

    regions: np.ndarray
    centres: np.ndarray


# --- the pipeline --------------------------------------------------------------------------------------------------


def isotropic_shape(shape: tuple[int, ...], factor: float = Z_FACTOR) -> tuple[int, int, int]:
    """Shape of the interpolated stack."""
    return int(shape[0] * factor), shape[1], shape[2]


def interpolate(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation; going coarser, a Gaussian comes first, as is the default of scikit-image since 0.15."""
    coarser = any(n < m for n, m in zip(shape, values.shape, strict=True))
    return resize(values.astype(float), shape, order=1, preserve_range=True, anti_aliasing=coarser)


def scale(values: np.ndarray) -> np.ndarray:
    """Least value 0, largest 1."""
    low, high = values.min(), values.max()
    return ((values - low) / (high - low)).astype(np.float32)


def window_starts(shape: tuple[int, ...], *, side: int = SIDE, stride: int = STRIDE) -> list[tuple[int, ...]]:
    """Where windows start in the mirrored stack, which begins half a stride before the stack itself."""
    return list(product(*(range(0, -(-n // stride) * stride, stride) for n in shape)))


def predict(network: Network, image: np.ndarray, *, side: int = SIDE, stride: int = STRIDE) -> np.ndarray:
    """Mask of an interpolated and scaled stack, from the middles of the windows."""
    margin = (side - stride) // 2
    filled = [-(-n // stride) * stride for n in image.shape]
    after = [f - n + side - stride - margin for f, n in zip(filled, image.shape, strict=True)]
    mirrored = np.pad(image, [(margin, a) for a in after], mode="reflect")
    mask = np.zeros(filled, bool)
    middle = (slice(margin, margin + stride),) * 3
    for start in window_starts(image.shape, side=side, stride=stride):
        seen = network(mirrored[tuple(slice(s, s + side) for s in start)])
        mask[tuple(slice(s, s + stride) for s in start)] = seen[middle]
    return mask[tuple(slice(n) for n in image.shape)]


def back(mask: np.ndarray, shape: tuple[int, ...], *, rule: Rule) -> np.ndarray:
    """Mask on another grid."""
    values = interpolate(mask, shape)
    return values > 0 if rule == "positive" else values >= 0.5


def instances(masks: Masks, shape: tuple[int, ...], *, rule: Rule) -> np.ndarray:
    """Labels (z, y, x) of the stack itself from masks on the interpolated grid."""
    regions, centres = (back(m, shape, rule=rule) for m in (masks.regions, masks.centres))
    markers = label(centres, connectivity=1)
    if not markers.any():
        return label(regions, connectivity=1).astype(np.uint32)
    distance = ndimage.distance_transform_edt(regions)
    return watershed(-distance, markers, mask=regions).astype(np.uint32)


def masks_of(image: np.ndarray, networks: dict[Role, Network], *, factor: float = Z_FACTOR) -> Masks:
    """Masks of a stack as it was taken."""
    scaled = scale(interpolate(image, isotropic_shape(image.shape, factor)))
    return Masks(predict(networks["nsn"], scaled), predict(networks["ndn"], scaled))


def perfect_masks(pair: PairPath, *, rule: Rule, factor: float = Z_FACTOR) -> Masks:
    """Masks of networks that answer the truth they were taught, which was drawn for each where it is BBBC050's."""
    labels = read_stack(pair.labels)
    shape = isotropic_shape(labels.shape, factor)
    regions, centres = drawn_for("NSN", pair), drawn_for("NDN", pair)
    return Masks(
        back(labels > 0 if regions is None else regions, shape, rule=rule),
        back(ball_target(labels) > 0 if centres is None else centres, shape, rule=rule),
    )


def drawn_for(network: str, pair: PairPath) -> np.ndarray | None:
    """BBBC050's own truth for a network, None in other layouts."""
    folder = pair.labels.parent
    path = folder.with_name(folder.name.replace("QCANet", network)) / pair.labels.name
    return read_stack(path) > 0 if path != pair.labels and path.is_file() else None


# --- networks ------------------------------------------------------------------------------------------------------


def load_network(path: Path, role: Role) -> UNet:
    """Network of a model folder, of a checkpoint, or of a published file."""
    if path.is_dir():
        return load_model(str(path)).network(role)
    try:
        checkpoint = read_checkpoint(path)
    except ModelError:
        foreign = read_foreign(path)
        architecture = architecture_of(foreign.arrays, where=str(path))
        weights = state_of(foreign, architecture)
    else:
        architecture, weights = checkpoint.architecture, dict(checkpoint.weights)
    network = UNet(architecture)
    network.load_state_dict(weights)
    return network.eval()


def as_published(network: UNet) -> Network:
    """Run a window as the published code does: float32, batch norms with the window's own statistics."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.train()
            module.momentum = 0.0
            module.eps = EPSILON["chainer"]

    def run(window: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = network(torch.from_numpy(np.ascontiguousarray(window, dtype=np.float32))[None, None])[0]
        beaten = logits[1] > logits[0] if len(logits) == 2 else logits[0] > 0
        return beaten.numpy()

    return run


def digest_of(*paths: Path) -> str:
    """Short digest of weights, so that labels of others are never taken for theirs."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        digest.update(b"".join(f.read_bytes() for f in files))
    return digest.hexdigest()[:16]


class LabelledStacks:
    """Labels of stacks by both rules, made once for these networks and kept below `folder`."""

    def __init__(self, nsn: Path, ndn: Path, *, folder: Path, factor: float = Z_FACTOR) -> None:
        self.files: dict[Role, Path] = {"nsn": nsn, "ndn": ndn}
        self.folder = folder / digest_of(nsn, ndn)
        self.factor = factor
        self.networks: dict[Role, Network] = {}

    def labels(self, image: Callable[[], np.ndarray], *, name: str, rule: Rule) -> np.ndarray:
        """Labels (z, y, x) of the stack `name`, which `image` reads where they are not there yet."""
        wanted = self.folder / rule / f"{name}.tif"
        if not wanted.is_file():
            if not self.networks:
                self.networks = {role: as_published(load_network(path, role)) for role, path in self.files.items()}
            pixels = image()
            masks = masks_of(pixels, self.networks, factor=self.factor)
            for each in RULES:
                write(self.folder / each / f"{name}.tif", instances(masks, pixels.shape, rule=each))
        return read_stack(wanted)


def write(path: Path, labels: np.ndarray) -> None:
    """Write beside and rename, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    tifffile.imwrite(beside, labels.astype(np.uint16), compression="zlib")
    beside.replace(path)


# --- commands ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["perfect", "run"])
    parser.add_argument("--data", type=Path, default=DATA, help="stacks with truth, BBBC050's folders by default")
    parser.add_argument("--groups", default="", help="only these embryos, separated by commas")
    parser.add_argument("--z-factor", type=float, default=Z_FACTOR, help="interpolated planes for each plane")
    parser.add_argument("--nsn", type=Path, help="NSN: checkpoint, model folder or published file")
    parser.add_argument("--ndn", type=Path, help="NDN: the same")
    parser.add_argument("--out", type=Path, help="folder for the labels of `run`")
    options = parser.parse_args()
    if options.what == "run" and not (options.nsn and options.ndn and options.out):
        parser.error("run needs --nsn, --ndn and --out")
    print(machine(), "\n")
    counts: dict[Rule, list[Counts]] = {rule: [] for rule in RULES}
    for rule, truth, found in comparisons(options):
        counts[rule].append(count(overlap_of(count_overlap(truth, found, origin=(0, 0, 0))), iou_threshold=0.5))
    whose = "networks that answer the truth" if options.what == "perfect" else f"{options.nsn} and {options.ndn}"
    print(f"Means over {len(counts['half'])} stacks, {whose}.\n")
    print(table(["resizing", "IoU", "SEG", "MUCov", "volume"], [[TOLD[r], *summary(counts[r])] for r in RULES]))


def comparisons(options: argparse.Namespace) -> Iterator[tuple[Rule, np.ndarray, np.ndarray]]:
    """Truth and labels of every stack, by both rules."""
    wanted = [g for g in options.groups.split(",") if g]
    made = None
    if options.what == "run":
        made = LabelledStacks(options.nsn, options.ndn, folder=options.out, factor=options.z_factor)
    for pair in find_pairs(options.data):
        if wanted and pair.group not in wanted:
            continue
        truth = read_stack(pair.labels)
        for rule in RULES:
            if made is None:
                masks = perfect_masks(pair, rule=rule, factor=options.z_factor)
                yield rule, truth, instances(masks, truth.shape, rule=rule)
            else:
                yield rule, truth, made.labels(lambda p=pair: read_stack(p.image), name=pair.name, rule=rule)


def summary(counts: list[Counts]) -> list[Any]:
    """Scores as text."""
    means = mean_scores(counts)
    volume = sum(c.result_voxels for c in counts) / sum(c.truth_voxels for c in counts) - 1
    return [*(f"{value or 0:.3f}" for value in (means.iou, means.seg, means.mucov)), f"{volume:+.1%}"]


if __name__ == "__main__":
    main()
