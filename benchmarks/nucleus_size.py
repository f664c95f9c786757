"""Do nuclei look as wide as they are, before any network has seen them?

    python benchmarks/nucleus_size.py [--data DIR]

For every stack with truth: how wide a run would say that nuclei look, relative to the ball of the median volume of the true
ones. Any layout that `tlseg train` reads will do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from folds import DATA
from machine import machine, table

from tlseg.geometry import ball_radius, volume_um3
from tlseg.models.bundle import load_model
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.nucleus_size import seen_nucleus_um
from tlseg.store.labels.pairs import find_pairs, read_pair

OFF = 2.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    grid_um = load_model().spec.spacing_um
    ratios, took, unseen = [], [], 0
    for pair in find_pairs(options.data):
        image, labels = read_pair(pair)
        sizes = np.bincount(labels.ravel())[1:]
        volume = volume_um3(np.median(sizes[sizes > 0]), frame=image.shape, spacing_um=pair.spacing_um)
        frame = {
            "read": lambda box, image=image: image[box.slices],
            "shape": image.shape,
            "spacing_um": pair.spacing_um,
        }
        statistics = measure_brightness(**frame, dtype=image.dtype.str, grid_um=grid_um, scaling="quantiles")
        began = time.perf_counter()
        seen = seen_nucleus_um(**frame, statistics=statistics)
        took.append(time.perf_counter() - began)
        if seen is None:
            unseen += 1
        else:
            ratios.append(seen / (2 * float(ball_radius(volume))))
    found = np.array(ratios)
    print(
        f"{machine()}\n\n{len(found)} stacks; in {unseen} more, nothing looked like nuclei. Seen width, true one = 1:\n"
    )
    shares = [f"{v:.2f}" for v in np.quantile(found, [0, 0.05, 0.5, 0.95, 1])]
    off = int(((found > OFF) | (found < 1 / OFF)).sum())
    print(
        table(["least", "5 % below", "median", "5 % above", "most", f"off by more than {OFF:g}"], [[*shares, str(off)]])
    )
    print(f"\nMedian time of an estimate: {np.median(took):.2f} s")


if __name__ == "__main__":
    main()
