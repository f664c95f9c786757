"""How fast is the flood, beside scikit-image's watershed on the same ranks?

    python benchmarks/flood.py [--shape Z,Y,X]

Dense random tissue (60 % foreground, 2,000 seeds); both floods run one after the other on one core and must agree.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from machine import machine, table
from scipy import ndimage
from skimage.segmentation import watershed

from tlseg.label.flooding import flood_by_rank
from tlseg.label.watershed import flood_order


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="128,256,256")
    shape = tuple(int(n) for n in parser.parse_args().shape.split(","))
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random(shape), 2)
    foreground = smooth < np.quantile(smooth, 0.6)
    relief = (ndimage.gaussian_filter(rng.random(shape), 1) * 255).astype(np.int64)
    markers = np.zeros(shape, np.int32)
    places = np.argwhere(foreground)
    seeds = places[rng.choice(len(places), 2000, replace=False)]
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)

    order = flood_order(relief, foreground)
    flood_by_rank(np.ones((1, 1, 1), np.int32), np.ones((1, 1, 1), np.int32))
    began = time.monotonic()
    ours = markers.copy()
    flood_by_rank(order, ours)
    middle = time.monotonic()
    theirs = watershed(order, markers, mask=foreground, connectivity=1)
    ended = time.monotonic()
    if not np.array_equal(ours, theirs):
        raise SystemExit("the floods disagree")

    millions = foreground.sum() / 1e6
    fast, slow = middle - began, ended - middle
    print(machine(), "\n")
    rows = [
        ["scikit-image", f"{slow:.2f}", f"{millions / slow:.2f}", "1"],
        ["tlseg", f"{fast:.2f}", f"{millions / fast:.2f}", f"{slow / fast:.1f}"],
    ]
    headers = ["flood", "s", "million foreground voxels a second", "times faster"]
    print(f"{millions:.1f} million foreground voxels; the labels are identical.\n")
    print(table(headers, rows))


if __name__ == "__main__":
    main()
