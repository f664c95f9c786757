"""At which brightness do people draw the border of a nucleus?

    python benchmarks/level.py [--data DIR] [--groups Emb03,Emb08,Emb11] [--quantile 0.999] [--average 1]

For every stack with truth: the threshold on the slightly blurred image whose foreground fits the truth best (by IoU, near
nuclei), as a share of the way from the frame's median to its 99.9th percentile. If that share is the same everywhere, the
scaled intensity says where a nucleus ends, and crops that a network learns from must not change it much. The second table
is what one such threshold is worth, for comparison with networks, and the last says how many nuclei are dark all over. Other
quantiles, and quantiles of averaged voxels, can be tried in place of that percentile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from folds import DATA
from machine import machine, table
from scipy import ndimage

from tlseg.predict.maps import NEIGHBOURHOOD
from tlseg.store.labels.pairs import find_pairs, read_pair

BLUR = (0.5, 1.0, 1.0)
NEAR = 4
"""Voxels around nuclei in which the threshold is chosen."""
SHARES = np.geomspace(0.02, 0.8, 60)
LEVELS = (0.08, 0.095, 0.11, 0.125, 0.14)
LEAST_VOXELS = 270
DARK = (0.03, 0.05, 0.07, 0.1)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--groups", help="only these")
    parser.add_argument("--quantile", type=float, default=0.999, help="how bright a frame is")
    parser.add_argument("--average", type=int, default=1, help="side of the box that is averaged over before")
    options = parser.parse_args()
    pairs = find_pairs(options.data)
    wanted = set(options.groups.split(",")) if options.groups else {p.group for p in pairs}
    best, worth, brightest = [], {level: [] for level in LEVELS}, []
    for pair in (p for p in pairs if p.group in wanted):
        image, labels = read_pair(pair)
        truth, image = labels > 0, image.astype(np.float32)
        low = np.quantile(image, 0.5)
        top = np.quantile(ndimage.uniform_filter(image, options.average), options.quantile)
        scaled = (ndimage.gaussian_filter(image, BLUR) - low) / (top - low)
        averaged = (ndimage.uniform_filter(image, NEIGHBOURHOOD) - low) / (top - low)
        nuclei = np.flatnonzero(np.bincount(labels.ravel())[1:] >= LEAST_VOXELS) + 1
        brightest.extend(ndimage.maximum(averaged, labels, nuclei))
        near = ndimage.binary_dilation(truth, iterations=NEAR)
        share = max(SHARES, key=lambda s: iou(truth[near], scaled[near] > s))
        best.append((float(share), float(top - low)))
        for level in LEVELS:
            worth[level].append(iou(truth, without_crumbs(scaled > level)))
    shares, tops = np.array(best).T
    print(machine())
    print(f"\n{len(shares)} stacks. Best threshold as a share of the brightness of the frame:\n")
    values = [f"{v:.3f}" for v in (*np.quantile(shares, [0.05, 0.5, 0.95]), np.std(np.log(shares)))]
    correlation = np.corrcoef(np.log(shares * tops), np.log(tops))[0, 1]
    header = ["5 % of stacks below", "median", "5 % above", "spread of its logarithm", "correlation with brightness"]
    print(table(header, [[*values, f"{correlation:.3f}"]]))
    print("\nForeground by one threshold, mean IoU:\n")
    print(table([str(level) for level in LEVELS], [[f"{np.mean(worth[level]):.3f}" for level in LEVELS]]))
    dark = [str(int((np.array(brightest) < share).sum())) for share in DARK]
    print(f"\nOf {len(brightest):,} nuclei, so many are nowhere brighter in the mean over 5 x 5 x 5 voxels than:\n")
    print(table([str(share) for share in DARK], [dark]))


def iou(truth: np.ndarray, found: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((truth & found).sum() / max(1, (truth | found).sum()))


def without_crumbs(mask: np.ndarray) -> np.ndarray:
    """The same without components smaller than any nucleus."""
    components, _ = ndimage.label(mask)
    kept = np.bincount(components.ravel()) >= LEAST_VOXELS
    kept[0] = False
    return kept[components]


if __name__ == "__main__":
    main()
