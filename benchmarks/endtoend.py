"""How good is a whole run, from pixels to lineages, on movies the bundled weights never saw, and what does repair add?

    python benchmarks/endtoend.py [--frames N] [--movies NAME,...] [--keep FOLDER] [--division-probability P]

The weights learned from real embryos and from single frames of simulated ones; these movies are others of the simulator,
so every nucleus, link and division is known. *embryo* is 8 nuclei that divide once, *crowd* 36 that touch, *tight* 60 in
the same room and half the light, *blastocyst* 24 that divide while a cavity opens, with polar bodies, drift and jumps;
*hard* is 24 that divide fast in a third of the light, wander 2.5 um and turn 4 degrees a frame. Each is segmented without
repair and with it, and scored as `tlseg evaluate` does. Frames *better* and
*worse* are those whose SEG repair raises and lowers.

The networks see every window once: repair comes after them, so its run is given their answers again.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, table
from numpy.typing import NDArray

from tlseg.evaluate.api import Evaluation, evaluate
from tlseg.link import LinkSettings
from tlseg.predict.infer import Predictor
from tlseg.run import stages
from tlseg.run.segment import Summary, segment
from tlseg.simulate.api import simulate
from tlseg.simulate.scenes import scene_settings
from tlseg.simulate.settings import SimulationSettings

SHAPE = (44, 96, 96)
HEADERS = ["movie", "nuclei", "repair", "SEG", "F1", "split", "merged", "missed", "extra", "DET", "TRA", "LNK"]
HEADERS += ["division F1", "complete lineages", "repairs", "frames better", "worse"]


def movies(frames: int) -> dict[str, SimulationSettings]:
    """Settings of the movies, by name."""
    common: dict[str, Any] = {"frames": frames, "shape": SHAPE}
    slow: dict[str, Any] = {**common, "cycle_frames": 30.0}
    hard = {"photons": 70.0, "migration_um": 2.5, "rotation_deg": 4.0, "drift_um": 1.0, "cycle_frames": 16.0}
    return {
        "embryo": scene_settings("embryo", **slow, start_nuclei=8, seed=101),
        "crowd": scene_settings("embryo", **slow, start_nuclei=36, seed=201),
        "tight": scene_settings("embryo", **slow, start_nuclei=60, photons=110.0, seed=204),
        "blastocyst": scene_settings("blastocyst", **slow, start_nuclei=24, seed=102),
        "hard": scene_settings("embryo", **common, **hard, start_nuclei=24, seed=203),
    }


class Remembered:
    """A network whose answers are kept in a folder, by what it was shown."""

    def __init__(self, network: Predictor, folder: Path, key: str) -> None:
        self.batch = network.batch
        self._network, self._folder, self._key = network, folder, key

    def __call__(self, windows: NDArray[np.float32], *, threads: int = 1) -> NDArray[np.uint8]:
        """Maps of windows, one at a time as on any CPU."""
        return np.concatenate([self._one(windows[n : n + 1], threads) for n in range(len(windows))])

    def _one(self, window: NDArray[np.float32], threads: int) -> NDArray[np.uint8]:
        name = hashlib.sha256(f"{self._key} {threads}".encode() + np.ascontiguousarray(window).tobytes()).hexdigest()
        path = self._folder / f"{name}.npy"
        if not path.exists():
            np.save(path, self._network(window, threads=threads))
        known: NDArray[np.uint8] = np.load(path)
        return known


def remember(folder: Path) -> None:
    """Let every run in this process ask a network only what it was not asked before."""
    load: Callable[..., Predictor] = stages.load_predictor
    folder.mkdir(parents=True, exist_ok=True)

    def load_remembered(place: str, digest: str, role: str, *rest: Any, **options: Any) -> Remembered:
        return Remembered(load(place, digest, role, *rest, **options), folder, f"{digest} {role} {options}")

    stages.load_predictor = load_remembered  # type: ignore[assignment]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--movies", default="embryo,crowd,tight,blastocyst,hard")
    parser.add_argument("--keep", type=Path, help="folder in which movies, results and answers of networks stay")
    parser.add_argument("--division-probability", type=float, default=LinkSettings().division_probability)
    chosen = parser.parse_args()
    link = LinkSettings(division_probability=chosen.division_probability)
    print(machine(), "\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        remember(folder / "answers")
        rows = [
            row
            for name in chosen.movies.split(",")
            for row in compare(name, movies(chosen.frames)[name], link=link, folder=folder)
        ]
    print("\n" + table(HEADERS, rows))


def compare(name: str, settings: SimulationSettings, *, link: LinkSettings, folder: Path) -> list[list[str]]:
    """Simulate a movie, segment it without and with repair, and return a row for each."""
    movie = folder / f"{name}.ome.zarr"
    nuclei = simulate(movie, settings, overwrite=True).nuclei or ()
    scored: list[tuple[Summary, Evaluation]] = []
    for repair in (False, True):
        out, began = folder / f"{name}-{'with' if repair else 'without'}.ome.zarr", time.monotonic()
        made = segment(movie, out=out, overwrite=True, device="cpu", link=link, repair=repair)
        scored.append((made, evaluate(out, movie, name=made.name)))
        print(f"{name}, repair {repair}: {time.monotonic() - began:.0f} s", flush=True)
    plain, mended = (np.array([row["seg"] for row in found.to_dict()["frames"]]) for _, found in scored)
    first = [name, f"{nuclei[0]} to {nuclei[-1]}"]
    changed = [str(scored[1][0].repaired), str((mended > plain).sum()), str((mended < plain).sum())]
    return [
        [*first, "without", *figures(scored[0][1].to_dict()), "", "", ""],
        [*first, "with", *figures(scored[1][1].to_dict()), *changed],
    ]


def figures(scores: dict[str, Any]) -> list[str]:
    """What the table shows of an evaluation."""
    tracking = scores["tracking"]
    shares = [tracking[key] for key in ("det", "tra", "lnk")]
    shares += [tracking["divisions"][1]["f1"], tracking["complete_lineages"]]
    counts = [str(scores[key]) for key in ("splits", "merges", "misses", "extras")]
    first = [f"{scores['pooled'][key]:.3f}" for key in ("seg", "f1")]
    return [*first, *counts, *("-" if value is None else f"{value:.3f}" for value in shares)]


if __name__ == "__main__":
    main()
