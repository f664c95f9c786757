"""Do two workers do twice the work of one, and where would 8, 64 and 512 GPUs stop helping?

    python benchmarks/scaling.py [--measure [--shape 128,512,512] [--block 64,128,128]]
    python benchmarks/scaling.py [--costs FILE.json] [--frames 500] [--out FOLDER]

--measure  the stages that need a core and no network (detect, flood, measure, write) of one simulated frame, from the same
           stored windows, with 1 and with 2 workers in turn, and with 2 whose allocator gives memory back at once, as Dask
           has it: seconds of each, the median of three. Beside it, how many times as much two processes without any cluster
           get done. Meaningful on a machine that does nothing else.
Without    a model only: a discrete-event simulation of a run on GPUs, CPU workers, one scheduler and one client. FILE
           (`benchmarks/pipeline.py --costs FILE`) holds what was measured; what is left is said to be assumed.

The model keeps what bounds a run: frames are predicted before the rest is done to them, a GPU or a CPU worker does one
message at a time, client and scheduler are one process each, the store gives so many bytes a second to all, and linking
waits for all frames. Written to FOLDER: `scaling.csv`, `scaling.png`.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import dask
import numpy as np
from machine import machine, table
from memory import shape_of
from scipy import ndimage

from tlseg.geometry import Shape
from tlseg.run.segment import segment
from tlseg.run.tasks.batch import MOST, WORTH_SENDING_S
from tlseg.run.tasks.cluster import ALLOCATOR, BEFORE_SPAWN, DASK_TRIM, TRIM
from tlseg.run.watch.events import Event
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings

GPUS = (1, 8, 64, 512)


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds and bytes of one frame of a run; the defaults are of 51 x 120 x 122 voxels and the published networks.

    Parameters
    ----------
    gpu_s
        Both networks on a GPU. Assumption: 1.7 TFLOP (`benchmarks/cost.py`) at 100 TFLOP/s.
    windows
        Batches of windows into which that can be split.
    cpu_s
        Everything else that is done by tasks, on one core. Assumption; `benchmarks/pipeline.py --costs` measures it.
    regions
        Tasks into which that is split.
    serial_s
        What the client does alone: linking, tables. Assumption; `benchmarks/pipeline.py --costs` measures it.
    client_s, scheduler_s
        Processor time of client and scheduler for one message to a worker and back: measured with
        `benchmarks/scheduler.py` where every region was sent alone (2 cores of an AMD EPYC).
    store_bytes
        Read and written: pixels, maps twice, provisional labels twice, final labels.
    store_rate
        Bytes a second of the store, all workers together. Assumption.
    """

    gpu_s: float = 1.7 / 100
    windows: int = 1
    cpu_s: float = 0.1
    regions: int = 5
    serial_s: float = 0.05
    client_s: float = 0.0015
    scheduler_s: float = 0.0019
    store_bytes: float = 51 * 120 * 122 * (2 + 2 * 2 + 2 * 4 + 4)
    store_rate: float = 5e9

    @property
    def batch(self) -> int:
        """Regions sent together: the rule of `tlseg.run.tasks.batch`, for regions that all take as long."""
        return min(MOST, max(1, int(WORTH_SENDING_S / (self.cpu_s / self.regions))), self.regions)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a simulated run went: wall time in seconds, and the busy share of each part."""

    seconds: float
    busy: dict[str, float]

    @property
    def limit(self) -> str:
        """Name the part that is busiest: it is what the run waits for."""
        return max(self.busy, key=self.busy.__getitem__)


class Part:
    """Something that serves one request per server at a time, first come first served."""

    def __init__(self, servers: int) -> None:
        self.servers = servers
        self.free = [0.0] * servers
        self.used = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Return when a request that comes now is done; requests must come in the order of time."""
        done = max(now, heapq.heappop(self.free)) + seconds
        heapq.heappush(self.free, done)
        self.used += seconds
        return done


@dataclass(frozen=True, slots=True)
class Message:
    """A task under way: its frame, its step (0 predicts, 1 does the rest), and the parts it still passes."""

    frame: int
    step: int
    route: tuple[tuple[str, float], ...]


def simulate_run(costs: Costs, *, frames: int, gpus: int, cpus: int) -> Outcome:
    """Run `frames` frames on so many GPUs and CPU workers.

    Each task passes client, scheduler, worker and store, one event at each, so that every part sees its requests in the
    order of time. A frame's second step starts when its first is done; frames enter while no more are under way than
    a run's window holds.
    """
    parts = {"client": Part(1), "scheduler": Part(1), "GPUs": Part(gpus), "CPU workers": Part(cpus), "store": Part(1)}
    counts = (costs.windows, -(-costs.regions // costs.batch))
    works = (("GPUs", costs.gpu_s / counts[0]), ("CPU workers", costs.cpu_s / counts[1]))
    traffic = costs.store_bytes / sum(counts) / costs.store_rate
    ends = (("client", costs.client_s), ("scheduler", costs.scheduler_s))
    events: list[tuple[float, int, Message]] = []
    left: Counter[tuple[int, int]] = Counter()
    entered, number, now = 0, itertools.count(), 0.0

    def send(frame: int, step: int) -> None:
        left[frame, step] = counts[step]
        for _ in range(counts[step]):
            message = Message(frame, step, (*ends, works[step], ("store", traffic)))
            heapq.heappush(events, (now, next(number), message))

    while entered < min(frames, 2 * (gpus + cpus) + 2):
        send(entered, 0)
        entered += 1
    while events:
        now, _, message = heapq.heappop(events)
        if message.route:
            (part, seconds), *rest = message.route
            done = parts[part].serve(now, seconds)
            heapq.heappush(events, (done, next(number), replace(message, route=tuple(rest))))
            continue
        at = (message.frame, message.step)
        left[at] -= 1
        if left[at]:
            continue
        del left[at]
        if message.step == 0:
            send(message.frame, 1)
        elif entered < frames:
            send(entered, 0)
            entered += 1
    wall = now + frames * costs.serial_s
    busy = {name: part.used / part.servers / wall for name, part in parts.items()}
    return Outcome(wall, busy | {"the client, linking": frames * costs.serial_s / wall})


def main() -> None:
    """Print the tables; write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--shape", default="128,512,512", help="voxels of the frame of --measure")
    parser.add_argument("--block", default="64,128,128", help="and of its blocks")
    parser.add_argument("--costs", type=Path, help="JSON with values of Costs")
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--cpus-per-gpu", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"))
    options = parser.parse_args()
    print(machine(), "\n", flush=True)
    if options.measure:
        print_measured(shape_of(options.shape), shape_of(options.block))
        return
    given = json.loads(options.costs.read_text()) if options.costs else {}
    small = replace(Costs(), **given)
    options.out.mkdir(parents=True, exist_ok=True)
    rows, curves = [], {}
    for name, costs in scenarios(small).items():
        said = [[k, f"{v:.4g}", "measured" if k in given else "default"] for k, v in asdict(costs).items()]
        print(f"\n{name}; {costs.batch} regions a message\n\n{table(['cost of a frame', 'value', 'from'], said)}\n")
        found = model(costs, frames=options.frames, cpus_per_gpu=options.cpus_per_gpu)
        print(table(["GPUs", "CPU workers", "s", "frames/s", "times one GPU", "efficiency", "busiest"], found))
        rows += [[name, *row] for row in found]
        curves[name] = [float(row[4]) for row in found]
    with (options.out / "scaling.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["movie", "gpus", "cpus", "s", "frames_s", "speedup", "efficiency", "busiest"], *rows]
        )
    draw(options.out / "scaling.png", curves)


def scenarios(small: Costs) -> dict[str, Costs]:
    """Two movies: small frames, and large ones in proportion to their voxels.

    Linking goes with the nuclei, of which a small frame has few and a large one as many as we care to assume: its cost is
    left as it is.
    """
    times = 2048 * 2048 * 256 / (51 * 120 * 122)
    large = replace(
        small,
        gpu_s=small.gpu_s * times,
        windows=round(times / 4),
        cpu_s=small.cpu_s * times,
        regions=4 * 2 * 8 * 8,  # detect, flood, measure and write of blocks of 128 x 256 x 256
        store_bytes=small.store_bytes * times,
    )
    return {"51 x 120 x 122 voxels a frame": small, "256 x 2048 x 2048 voxels a frame": large}


def model(costs: Costs, *, frames: int, cpus_per_gpu: int) -> list[list[str]]:
    """Rows of the table for each number of GPUs."""
    one = simulate_run(costs, frames=frames, gpus=1, cpus=cpus_per_gpu).seconds
    rows = []
    for gpus in GPUS:
        run = simulate_run(costs, frames=frames, gpus=gpus, cpus=gpus * cpus_per_gpu)
        rows.append(
            [
                str(gpus),
                str(gpus * cpus_per_gpu),
                f"{run.seconds:.0f}",
                f"{frames / run.seconds:.3g}",
                f"{one / run.seconds:.1f}",
                f"{100 * one / run.seconds / gpus:.0f} %",
                f"{run.limit} ({100 * run.busy[run.limit]:.0f} %)",
            ]
        )
    return rows


def draw(path: Path, curves: dict[str, list[float]]) -> None:
    """Draw how many times faster than one GPU each number of GPUs is, for each movie, beside the ideal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="GPUs", ylabel="times one GPU", xscale="log", yscale="log")
    axes.plot(GPUS, GPUS, color="0.7", linestyle="--", label="ideal")
    for name, times in curves.items():
        axes.plot(GPUS, times, marker="o", markersize=3, label=name)
    axes.set_xticks(GPUS, [str(n) for n in GPUS])
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


# --- one worker against two -----------------------------------------------------------------------------------------


ON_CORES = ("detect", "flood", "measure", "write")
CASES: dict[str, tuple[int, dict[str, int]]] = {
    "1 worker": (1, {}),
    "2 workers": (2, {}),
    "2 workers, Dask's allocator": (2, {TRIM: DASK_TRIM - 1}),  # one less: that somebody chose
}


def print_measured(shape: Shape, block: Shape) -> None:
    """Time the stages that need a core, from the same predicted windows, with one worker and with two."""
    with tempfile.TemporaryDirectory(prefix="tlseg-scaling-") as folder:
        movie, predicted = Path(folder) / "movie.ome.zarr", Path(folder) / "predicted.ome.zarr"
        # One frame: the stages of several overlap.
        simulate(movie, SimulationSettings(frames=1, start_nuclei=64, shape=shape))
        run = partial(segment, movie, block=block, device="cpu", image=False)
        with suppress(KeyboardInterrupt):
            run(out=predicted, listener=stop_before_detect)
        spans: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
        for _ in range(3):
            for case, (workers, chosen) in CASES.items():
                watch, out = Spans(), Path(folder) / "labels.ome.zarr"
                shutil.copytree(predicted, out)
                environment = dask.config.get(BEFORE_SPAWN) | chosen
                with mock.patch.dict(os.environ), dask.config.set({BEFORE_SPAWN: environment}):
                    for name in ALLOCATOR:  # what is set there would hold in every case
                        os.environ.pop(name, None)
                    run(out=out, workers=workers, listener=watch)
                shutil.rmtree(out)
                spans[case].append({stage: watch.seconds(stage) for stage in ON_CORES})
    middle = {case: {s: statistics.median(run[s] for run in runs) for s in ON_CORES} for case, runs in spans.items()}
    for stages in middle.values():
        stages["together"] = sum(stages.values())
    one, two, dasks = middle.values()
    rows = [
        [s, *(f"{m[s]:.2f}" for m in middle.values()), f"{one[s] / two[s]:.2f}", f"{dasks[s] / two[s]:.2f}"]
        for s in one
    ]
    print(
        f"Two processes that have nothing to do with each other: {ceiling():.2f} times one, on this machine just now.\n"
    )
    print(table(["stage", *(f"{case}, s" for case in middle), "times one", "times Dask's"], rows))


def ceiling() -> float:
    """How many times as much two processes get done as one, where they have nothing to do with each other."""
    with get_context("spawn").Pool(2) as pool:
        pool.map(smooth, [1, 1], chunksize=1)
        alone = timed(lambda: pool.map(smooth, [40], chunksize=1))
        return 2 * alone / timed(lambda: pool.map(smooth, [40, 40], chunksize=1))


def smooth(times: int) -> None:
    """Do what the detection of a block does most: filter maps."""
    probability = np.random.default_rng(0).random((80, 160, 160), dtype=np.float32)
    for _ in range(times):
        ndimage.maximum_filter(ndimage.gaussian_filter(probability, 1.5), 5)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def stop_before_detect(event: object) -> None:
    """Stop a run, as a person would, when its networks are done."""
    if isinstance(event, Event) and event.stage == "detect" and event.done:
        raise KeyboardInterrupt


class Spans:
    """A listener that notes when each stage's units were done."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def __call__(self, event: object) -> None:
        """Note a unit."""
        if isinstance(event, Event) and event.done:
            self.times.setdefault(event.stage, []).append(time.monotonic())

    def seconds(self, stage: str) -> float:
        """What all units of a stage take at the pace of the last three quarters: with the first, workers import and load."""
        times = self.times[stage]
        left_out = len(times) // 4
        return (times[-1] - times[left_out]) * len(times) / (len(times) - 1 - left_out)


if __name__ == "__main__":
    main()
