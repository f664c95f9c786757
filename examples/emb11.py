"""A real mouse embryo from files to scores: BBBC050's Emb11, which taught the bundled model embryo-without-emb11 nothing.

    python examples/emb11.py [--data DIR] [--out DIR]

Converts its 11 stacks to a movie, segments and tracks it, compares it with the truth and draws overlays. (The stacks are
50 frames apart, so the tracks through them mean little; the segmentation is what is scored.)
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tlseg.evaluate.api import evaluate
from tlseg.geometry import Box
from tlseg.report.overlay import overlay_montage, overlay_movie, save_png
from tlseg.run.segment import segment
from tlseg.store.image.convert import convert
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_movie import open_label_movie

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data"))
SPACING = (1.75, 0.8, 0.8)


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--embryo", default="Emb11")
    parser.add_argument("--model", default="embryo-without-emb11")
    parser.add_argument("--out", type=Path, default=Path("emb11"))
    options = parser.parse_args()
    folder = options.data / "bbbc050"
    stacks = sorted((folder / "Images/train/Images").glob(f"{options.embryo}_t*.tif"))
    truth = sorted((folder / "GroundTruth/train/GroundTruth_QCANet").glob(f"{options.embryo}_t*.tif"))
    if not stacks or len(stacks) != len(truth):
        raise SystemExit(
            f"{folder} does not hold {options.embryo} with its truth. Unpack Images/ and GroundTruth/ of BBBC050 "
            "(https://bbbc.broadinstitute.org/BBBC050) there, or name the folder around bbbc050/ with --data."
        )
    options.out.mkdir(parents=True, exist_ok=True)
    movie, result = options.out / "movie.ome.zarr", options.out / "result.ome.zarr"
    linked = options.out / "truth"
    linked.mkdir(exist_ok=True)
    for path in truth:
        (linked / path.name).unlink(missing_ok=True)
        (linked / path.name).symlink_to(path.resolve())

    convert(stacks, movie, spacing_um=SPACING, interval_s=30000.0, overwrite=True)
    summary = segment(movie, out=result, model=options.model, overwrite=True)
    scores = evaluate(result, linked, spacing_um=SPACING).to_dict()

    print(f"{summary.nuclei} nuclei in {summary.frames} stacks, {summary.fallback} of them without a detected centre\n")
    print("stack  truth  found    IoU    SEG  MUCov")
    for row in scores["frames"]:
        counts = f"{row['t']:5d}  {row['n_truth']:5d}  {row['n_result']:5d}"
        print(f"{counts}  {row['iou']:.3f}  {row['seg']:.3f}  {row['mucov']:.3f}")
    print(f" mean                 {scores['iou']:.3f}  {scores['seg']:.3f}  {scores['mucov']:.3f}")
    print(f"\nvolume bias {scores['volume_bias']:+.1%}, detection F1 {scores['detection']['f1']:.3f}")

    source, labels = open_source(movie), open_label_movie(result)
    whole = Box.of_shape(source.frame_shape)
    shown = range(source.n_frames)
    strip = overlay_movie(
        ((t, source.read(t, whole), labels.read(t, whole)) for t in shown), spacing_um=SPACING, columns=4
    )
    save_png(options.out / "overlay.png", strip)
    last = source.n_frames - 1
    planes = overlay_montage(source.read(last, whole), labels.read(last, whole), spacing_um=SPACING, planes=8)
    save_png(options.out / "planes.png", planes)
    print(f"pictures: {options.out / 'overlay.png'}, {options.out / 'planes.png'}")


if __name__ == "__main__":
    main()
