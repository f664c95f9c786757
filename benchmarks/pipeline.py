"""How much of a run is not the networks, and how fast are labels made from maps?

    python benchmarks/pipeline.py [--frames 50] [--shape 51,120,122] [--label-frames 4] [--costs FILE.json]
    python benchmarks/pipeline.py --sync [--frames 8] [--shape 51,120,122]

A simulated embryo movie is segmented with the bundled model in this process, store to store; every second of wall time is
given to the networks' forward passes, to a stage, or to what lies between tasks. Then maps of its last frames are turned
into labels on one core, with both reliefs. With --costs FILE, processor seconds of a frame go into a JSON file that
`benchmarks/scaling.py` reads. With --sync instead, the movie is segmented in turn with and without waiting for the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from machine import machine, table

from tlseg.geometry import Box, Shape
from tlseg.label.frame import label_frame
from tlseg.measure.objects import measure_block
from tlseg.models.bundle import load_model
from tlseg.predict.frame import predict_maps
from tlseg.predict.infer import Predictor
from tlseg.run import finish
from tlseg.run import segment as segmenting
from tlseg.run.tasks.pools import SerialPool
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.image.movie import open_source

FORWARD = "networks: forward passes"
BETWEEN = "between tasks"
ON_A_CORE = ("detect", "number", "flood", "measure", "summarise", "write")
BY_THE_CLIENT = ("link", "tables and tracks")


class Spent:
    """Seconds of wall time and of processor time, by name."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count what is inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[name] += time.perf_counter() - wall
            self.cpu[name] += time.process_time() - cpu


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--shape", default="51,120,122")
    parser.add_argument("--label-frames", type=int, default=4, help="frames whose maps are labelled on one core")
    parser.add_argument("--costs", type=Path, help="write processor seconds of a frame, as JSON")
    parser.add_argument("--sync", action="store_true", help="only: what waiting for the disk costs")
    options = parser.parse_args()
    z, y, x = (int(n) for n in options.shape.split(","))
    print(machine(), "\n")
    with tempfile.TemporaryDirectory(prefix="tlseg-pipeline-") as folder:
        movie = Path(folder) / "movie.ome.zarr"
        cycle = max(6.0, options.frames / 2)  # however long the movie is, every nucleus divides twice
        simulate(movie, SimulationSettings(frames=options.frames, start_nuclei=8, shape=(z, y, x), cycle_frames=cycle))
        if options.sync:
            print_sync(movie, Path(folder))
            return
        costs = print_shares(movie, Path(folder) / "result.ome.zarr")
        if options.costs:
            options.costs.write_text(json.dumps(costs, indent=2) + "\n")
        print_label_speed(movie, range(options.frames - min(options.frames, options.label_frames), options.frames))


def print_shares(movie: Path, out: Path) -> dict[str, float]:
    """Segment a movie and say where the wall time went; returns processor seconds of a frame for the model."""
    spent = Spent()
    with watched(spent), spent.on("all"):
        summary = segmenting.segment(movie, out=out)
    wall = spent.wall.pop("all")
    frame = {
        "cpu_s": sum(spent.cpu[name] for name in ON_A_CORE) / summary.frames,
        "serial_s": sum(spent.cpu[name] for name in BY_THE_CLIENT) / summary.frames,
    }
    spent.wall["predict: all but the networks"] = spent.wall.pop("predict") - spent.wall[FORWARD]
    spent.wall[BETWEEN] = wall - sum(spent.wall.values())
    rows = [[name, f"{s:.2f}", f"{100 * s / wall:.1f} %"] for name, s in spent.wall.most_common()]
    print(f"{summary.frames} frames, {summary.nuclei} nuclei, {wall:.1f} s of wall time.\n")
    print(table(["where", "s", "share"], rows))
    print(f"\nNot the networks: {100 * (1 - spent.wall[FORWARD] / wall):.1f} %\n")
    return frame


@contextmanager
def watched(spent: Spent) -> Iterator[None]:
    """Count seconds of forward passes, of each stage's tasks, and of the steps that are no tasks."""
    tasks = SerialPool.finished

    def finished(pool: SerialPool) -> Any:
        with spent.on(pool.queue[0][1].stage):
            return tasks(pool)

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with spent.on(name):
                return function(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for owner, attribute, replacement in [
            (SerialPool, "finished", finished),
            (Predictor, "__call__", timed(Predictor.__call__, FORWARD)),
            (finish, "link_frames", timed(finish.link_frames, "link")),
            (segmenting, "check", timed(segmenting.check, "checks and plan")),
            (segmenting, "plan_for", timed(segmenting.plan_for, "checks and plan")),
            (segmenting, "publish", timed(segmenting.publish, "tables and tracks")),
        ]:
            patches.enter_context(mock.patch.object(owner, attribute, replacement))
        yield


def print_sync(movie: Path, folder: Path, *, rounds: int = 3) -> None:
    """Segment a movie with and without `fsync`, in turn, and print the medians of what each took."""
    real, taken = os.fsync, {"waits": Spent(), "does not": Spent()}
    walls: dict[str, list[float]] = {name: [] for name in taken}
    counts: Counter[str] = Counter()
    # What is loaded and compiled once must not count for whoever goes first.
    segmenting.segment(movie, out=folder / "warm.ome.zarr", frames="0:1")
    for turn in range(rounds):
        for name, spent in taken.items():

            def fsync(handle: int, name: str = name, spent: Spent = spent) -> None:
                counts[name] += 1
                with spent.on("waiting"):
                    if name == "waits":
                        real(handle)

            began = time.perf_counter()
            with mock.patch.object(os, "fsync", fsync), spent.on("all"):
                segmenting.segment(movie, out=folder / f"{name}-{turn}.ome.zarr")
            walls[name].append(time.perf_counter() - began)
    rows = [
        [
            name,
            f"{statistics.median(walls[name]):.2f}",
            f"{spent.cpu['all'] / rounds:.2f}",
            f"{counts[name] / rounds:.0f}",
            f"{spent.wall['waiting'] / rounds:.3f}",
            f"{100 * spent.wall['waiting'] / spent.wall['all']:.2f} %",
        ]
        for name, spent in taken.items()
    ]
    print(table(["the run", "s", "of a core, s", "files and folders", "waiting for them, s", "share"], rows))
    print(f"\nWith, times without: {statistics.median(a / b for a, b in zip(*walls.values(), strict=True)):.3f}")


def print_label_speed(movie: Path, frames: range) -> None:
    """Turn maps into labels and measure them, on one core, and say how many voxels a second that is."""
    source, model = open_source(movie), load_model()
    box = Box.of_shape(source.frame_shape)
    images = [source.read(t, box) for t in frames]
    maps = [predict_maps(image, source.spacing_um, model=model) for image in images]
    scenes = [(image, found["nsn"], found["ndn"]) for image, found in zip(images, maps, strict=True)]
    voxels = len(scenes) * box.size / 1e6
    foreground = float(np.mean([regions >= 128 for _, regions, _ in scenes]))
    rows = []
    for relief in ("centre", "distance"):
        settings = replace(model.spec.label_settings("qcanet"), relief=relief)
        labels = [label_frame(r, c, spacing_um=source.spacing_um, settings=settings) for _, r, c in scenes]
        seconds = fastest(
            lambda settings=settings: [
                label_frame(r, c, spacing_um=source.spacing_um, settings=settings) for _, r, c in scenes
            ]
        )
        rows.append([f"label, relief {relief}", f"{seconds:.3f}", f"{voxels / seconds:.1f}"])
    seconds = fastest(
        lambda: [
            measure_block(found, image, crop=box, core=box, frame=box, spacing_um=source.spacing_um)
            for found, (image, _, _) in zip(labels, scenes, strict=True)
        ]
    )
    rows.append(["measure", f"{seconds:.3f}", f"{voxels / seconds:.1f}"])
    print(f"{len(scenes)} frames of {_times(box.shape)}, {100 * foreground:.0f} % foreground, one core.\n")
    print(table(["stage", "s", "million voxels a second"], rows))


def fastest(work: Callable[[], Any], *, rounds: int = 3) -> float:
    """Seconds of processor time of the best of some rounds: other work on the machine only ever adds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
