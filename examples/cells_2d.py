"""Real cells in 2D, with a model that learned from 3D embryos: 30 frames of a MitoCheck movie.

    python examples/cells_2d.py [--data DIR] [--out DIR]

Converts the movie, segments and tracks it and draws an overlay. The file does not say how large a pixel is. Taken as 1 um,
nuclei are about as wide as those the model learned from.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tlseg.geometry import Box
from tlseg.report.overlay import overlay_movie, save_png
from tlseg.run.segment import segment
from tlseg.store.image.convert import convert
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_movie import open_label_movie
from tlseg.store.labels.tables import read_table

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data"))
FRAMES = (0, 3, 4, 8, 9, 12, 20, 29)


def main() -> None:
    """Run everything and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("cells"))
    options = parser.parse_args()
    folder = options.data / "mitocheck-movie"
    if not folder.is_dir():
        raise SystemExit(
            f"{folder} does not exist. Put a 2D movie of nuclei there, one TIFF per frame, such as that of the NEUBIAS "
            "training resources, or name the folder around mitocheck-movie/ with --data."
        )
    movie, result = options.out / "movie.ome.zarr", options.out / "result.ome.zarr"
    convert([folder], movie, spacing_um=(1.0, 1.0), interval_s=1800.0, overwrite=True)
    made = segment(movie, out=result, overwrite=True)
    rows = read_table(result, "nuclei")
    lasting = int((rows.groupby("track")["t"].nunique() == made.frames).sum())
    counts = rows.groupby("t").size()
    print(f"{counts.iloc[0]} nuclei in the first frame, {counts.iloc[-1]} in the last; {made.divisions} divisions")
    print(f"{made.tracks} tracks, {lasting} of them from the first frame to the last")

    source, labels = open_source(movie), open_label_movie(result)
    whole = Box.of_shape(source.frame_shape)
    shown = [t for t in FRAMES if t < source.n_frames]
    frames = ((t, source.read(t, whole), labels.read(t, whole)) for t in shown)
    drawn = overlay_movie(frames, spacing_um=source.spacing_um, interval_s=source.interval_s, columns=4)
    save_png(options.out / "overlay.png", drawn)
    print(f"picture: {options.out / 'overlay.png'}")


if __name__ == "__main__":
    main()
