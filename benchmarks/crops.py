"""What does a training crop cost, and does a nucleus keep its volume on the way to it?

    python benchmarks/crops.py

Ellipsoids a third longer along z, on grids of z spacings of 1.5 to 3.5 times the xy spacing (0.8 um), are made into targets
at 1.6 x 0.8 x 0.8 um, by crops that fall anywhere around them and hold all of them. "soft" is the sum of the target, "cut"
what is left of it above one half; both over the volume of the labels, less one: mean over stacks and largest difference.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from machine import machine, table

from tlseg.store.image.stacks import PairPath
from tlseg.train.samples import Pair, draw, load_pair
from tlseg.train.settings import SampleSettings

STACKS = 48
STILL = SampleSettings(crop=(48, 56, 56), zoom=(1, 1), zoom_z=(1, 1), on_nucleus=1.0)


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print(machine(), "\n")
    rows = []
    for ratio in (1.5, 2.0, 2.2, 2.5, 3.0, 3.5):
        for radius in (4.0, 8.0):
            soft, cut = changes(0.8 * ratio, radius)
            shown = [soft.mean(), np.abs(soft).max(), cut.mean(), np.abs(cut).max()]
            rows.append([f"{ratio}", f"{radius:g}", *(f"{100 * v:+.1f} %" for v in shown)])
    print(table(["z over xy", "radius um", "soft, mean", "soft, largest", "cut, mean", "cut, largest"], rows), "\n")
    rows = []
    pairs = [nucleus(1.75, 8.0, seed) for seed in range(4)]
    plain = replace(SampleSettings(), coarse_z=0.0, quantised=0.0)
    for name, settings in (("planes as they are", plain), ("by default", SampleSettings())):
        start = time.process_time()
        for number in range(40):
            draw(pairs, settings, seed=0, number=number)
        rows.append([name, f"{(time.process_time() - start) / 40 * 1e3:.1f}"])
    print(table(["crop of 32 x 64 x 64 voxels", "ms of one core"], rows))


def changes(spacing_z: float, radius_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Relative change of volume of the soft target and of the target cut at one half, for each stack."""
    voxel = float(np.prod(STILL.spacing_um))
    soft, cut = [], []
    for seed in range(STACKS):
        pair = nucleus(spacing_z, radius_um, seed)
        volume = float(pair.target.float().sum()) * float(np.prod(pair.spacing_um))
        target = whole_nucleus(pair, seed)
        soft.append(float(target.sum()) * voxel / volume - 1)
        cut.append(float((target >= 0.5).sum()) * voxel / volume - 1)
    return np.array(soft), np.array(cut)


def whole_nucleus(pair: Pair, seed: int) -> torch.Tensor:
    """The first target with all of the nucleus in it."""
    targets = (draw([pair], STILL, seed=seed, number=number)[1] for number in itertools.count())
    return next(target for target in targets if target.sum() == target[1:-1, 1:-1, 1:-1].sum())


def nucleus(spacing_z: float, radius_um: float, seed: int) -> Pair:
    """A stack with one nucleus, near the middle."""
    spacing = (spacing_z, 0.8, 0.8)
    extent = (130.0, 84.0, 84.0)
    middle = np.array(extent) / 2 + np.random.default_rng(seed).uniform(-1, 1, 3)
    z, y, x = np.meshgrid(*[np.arange(0, e, s) + s / 2 for e, s in zip(extent, spacing, strict=True)], indexing="ij")
    far = ((z - middle[0]) / 1.3) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2
    labels = (far < radius_um**2).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        image_path, labels_path = Path(folder) / "image.tif", Path(folder) / "labels.tif"
        tifffile.imwrite(image_path, 100 + 100 * labels)
        tifffile.imwrite(labels_path, labels)
        path = PairPath("nucleus", "nucleus", image_path, labels_path, spacing)
        return load_pair(path, target="mask", grid_um=STILL.spacing_um)


if __name__ == "__main__":
    main()
