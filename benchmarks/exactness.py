"""Are the labels of a real movie the same however the work is cut?

    python benchmarks/exactness.py [--data DIR] [--frames A:B]

Emb11 of BBBC050 is converted to a movie and segmented with the bundled model in one block a frame, then in blocks of
other shapes, in one process and with one and two workers; every label array is compared byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from pathlib import Path

from machine import machine, table

from tlseg.geometry import Box, Shape
from tlseg.run.segment import segment
from tlseg.store.image.convert import convert
from tlseg.store.labels.label_movie import open_label_movie

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data"))
CUTS: list[tuple[Shape, int]] = [
    ((64, 144, 128), 0),
    ((64, 64, 64), 0),
    ((32, 48, 64), 1),
    ((16, 144, 128), 2),
    ((64, 32, 32), 2),
    ((32, 32, 32), 0),
    ((16, 16, 16), 0),
]


def main() -> None:
    """Print the table; exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--frames", default="7:11", help="late frames, where nuclei touch")
    options = parser.parse_args()
    stacks = sorted((options.data / "bbbc050/Images/train/Images").glob("Emb11_t*.tif"))
    print(machine(), "\n")
    rows, digests = [], set()
    with tempfile.TemporaryDirectory(prefix="tlseg-exact-") as folder:
        movie = Path(folder) / "emb11.ome.zarr"
        convert(stacks, movie, spacing_um=(1.75, 0.8, 0.8), interval_s=30000.0)
        for i, (block, workers) in enumerate(CUTS):
            out = Path(folder) / f"result-{i}.ome.zarr"
            summary = segment(movie, out=out, frames=options.frames, block=block, workers=workers, image=False)
            digest = digest_of(out)
            digests.add(digest)
            audit = summary.audit
            rows.append(
                [
                    " x ".join(map(str, block)),
                    str(workers or "in process"),
                    str(audit["blocks"]),
                    str(audit["halos_enlarged"]),
                    str(audit["face_voxels_compared"]),
                    str(audit["face_voxels_that_disagree"]),
                    str(summary.nuclei),
                    digest[:16],
                ]
            )
            print(rows[-1], flush=True)
    headers = [
        "block",
        "workers",
        "blocks",
        "halos enlarged",
        "face voxels compared",
        "disagree",
        "nuclei",
        "sha256 of labels",
    ]
    print("\n" + table(headers, rows))
    raise SystemExit(len(digests) != 1)


def digest_of(result: Path) -> str:
    """SHA-256 of every label of a result, frame after frame."""
    labels = open_label_movie(result)
    digest = hashlib.sha256()
    for t in labels.frames:
        digest.update(labels.read(t, Box.of_shape(labels.frame_shape(t))).tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
