"""How good is a whole run, from pixels to lineages, on movies the bundled weights never saw?

    python benchmarks/endtoend.py [--frames N] [--movies NAME,...] [--options "OPTIONS"]... [--keep FOLDER]

The weights learned from real embryos; the movies are simulated, so every nucleus, link and division is known. *embryo* is
8 nuclei that divide once, *crowd* 40 that touch, *blastocyst* 24 that divide while a cavity opens, with polar bodies, drift
and jumps. Each is segmented with `tlseg segment`, once for each `--options` (by default as it is, and with --no-repair), and
scored with `tlseg evaluate`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import machine, table

from tlseg.evaluate.api import evaluate
from tlseg.simulate.api import simulate
from tlseg.simulate.scenes import scene_settings
from tlseg.simulate.settings import SimulationSettings

SHAPE = (51, 120, 122)


def movies(frames: int) -> dict[str, SimulationSettings]:
    """Settings of the movies, by name."""
    common: dict[str, Any] = {"frames": frames, "shape": SHAPE, "cycle_frames": 30.0}
    return {
        "embryo": scene_settings("embryo", **common, start_nuclei=8, seed=101),
        "crowd": scene_settings("embryo", **common, start_nuclei=40, seed=103),
        "blastocyst": scene_settings("blastocyst", **common, start_nuclei=24, seed=102),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--movies", default="embryo,crowd,blastocyst")
    parser.add_argument("--options", action="append", help="options of `tlseg segment` to try")
    parser.add_argument("--keep", type=Path, help="folder in which movies and results stay")
    chosen = parser.parse_args()
    print(machine(), "\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            row
            for name in chosen.movies.split(",")
            for row in run(name, movies(chosen.frames)[name], chosen.options or ["--repair", "--no-repair"], folder)
        ]
    headers = ["movie", "options", "nuclei", "SEG", "F1", "split", "merged", "missed", "extra", "DET", "TRA", "LNK"]
    headers += ["division F1", "within 1 frame", "complete lineages", "s a frame"]
    print("\n" + table(headers, rows))


def run(name: str, settings: SimulationSettings, variants: list[str], folder: Path) -> list[list[str]]:
    """Simulate a movie, segment it with each set of options, and return a row for each."""
    movie, rows = folder / f"{name}.ome.zarr", []
    made = simulate(movie, settings, overwrite=True)
    for k, options in enumerate(variants):
        out = folder / f"{name}-{k}.ome.zarr"
        began = time.monotonic()
        command = [sys.executable, "-m", "tlseg", "segment", str(movie), "--out", str(out), "--overwrite", "--json"]
        done = subprocess.run([*command, *shlex.split(options)], check=True, capture_output=True, text=True)
        seconds = time.monotonic() - began
        scores = evaluate(out, movie, name=json.loads(done.stdout)["name"]).to_dict()
        nuclei = f"{made['nuclei'][0]} to {made['nuclei'][-1]}"
        rows.append([name, options, nuclei, *figures(scores), f"{seconds / settings.frames:.1f}"])
        print(f"{name} {options}: {rows[-1]}", flush=True)
    return rows


def figures(scores: dict[str, Any]) -> list[str]:
    """What the table shows of an evaluation."""
    tracking = scores["tracking"]
    divisions = [d["f1"] for d in tracking["divisions"][:2]]
    shares = [tracking[key] for key in ("det", "tra", "lnk")] + divisions + [tracking["complete_lineages"]]
    counts = [str(scores[key]) for key in ("splits", "merges", "misses", "extras")]
    first = [f"{scores['pooled'][key]:.3f}" for key in ("seg", "f1")]
    return [*first, *counts, *("-" if value is None else f"{value:.3f}" for value in shares)]


if __name__ == "__main__":
    main()
