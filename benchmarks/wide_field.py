"""What do the networks cost in a field that is mostly empty, and do labels change if they do not see the dark of it?

    python benchmarks/wide_field.py [--stack Emb11_t401] [--times 5] [--model embryo-without-emb11]

A stack of BBBC050 in a field so many times as wide along y and x, filled with voxels from its corners, is labelled twice:
without the windows that are dark (`dark_threshold` of the model), and with all of them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from folds import DATA
from machine import machine, table
from robustness import Seen, wide_field

from tlseg.label.frame import label_frame
from tlseg.models.bundle import load_model
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import predict_frame
from tlseg.store.labels.pairs import find_pairs, read_pair


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--stack", default="Emb11_t401")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--model", default="embryo-without-emb11")
    options = parser.parse_args()
    pair = next(pair for pair in find_pairs(options.data) if pair.name == options.stack)
    stack = Seen(*read_pair(pair), pair.spacing_um)
    image, truth, _ = wide_field(stack, np.random.default_rng(0), times=options.times)
    model = load_model(options.model)
    rows, labels = [], []
    for threshold in (model.spec.dark_threshold, 0.0):
        spec = replace(model.spec, dark_threshold=threshold)
        windows, began, maps = 0, time.monotonic(), {}
        for role in spec.networks:
            predictor = load_predictor(str(model.folder), model.digest, role, "cpu")

            def network(seen: np.ndarray, predictor=predictor) -> np.ndarray:
                nonlocal windows
                windows += len(seen)
                return predictor(seen)

            maps[role] = predict_frame(image, pair.spacing_um, spec=spec, role=role, network=network)
        seconds = time.monotonic() - began
        found = label_frame(maps["nsn"], maps["ndn"], spacing_um=pair.spacing_um, settings=spec.label_settings())
        both, either = ((truth > 0) & (found > 0)).sum(), ((truth > 0) | (found > 0)).sum()
        rows.append([f"{threshold:g}", str(windows), f"{seconds:.1f}", str(found.max()), f"{both / either:.3f}"])
        labels.append(found)
    print(f"{machine()}\n\n{pair.name} in {' x '.join(map(str, image.shape))} voxels:\n")
    print(table(["dark_threshold", "windows seen", "s, one core", "nuclei", "IoU"], rows))
    print(f"\nVoxels labelled otherwise: {int((labels[0] != labels[1]).sum())}")


if __name__ == "__main__":
    main()
