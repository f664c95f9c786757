"""How many regions a second can be handed to a cluster, and does anybody's memory grow with their number?

    python benchmarks/scheduler.py [--regions 100000] [--workers 2] [--log-length 1000] [--out FOLDER]

Empty regions go through what a run uses: its flows, its window, its pool and its context as argument; only the work is
left out. Scheduler and workers are processes of their own, so that each one's memory can be watched. --log-length is how
many events of each topic the scheduler's diary keeps (`distributed.admin.low-level-log-length`). Written to FOLDER:
`scheduler.csv` (memory over time) and `scheduler.png`.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from distributed import Client
from machine import machine, table

from tlseg.run.context import RunContext
from tlseg.run.planning import prepare
from tlseg.run.request import Request
from tlseg.run.tasks.client_pool import ClientPool
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.flow import Flow, Task, drive
from tlseg.run.tasks.work import OPEN_FLOWS
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings

REGIONS_PER_FRAME = 500
MIB = 2**20
QUIET_S = 3.0
"""Seconds that the cluster settles before memory is watched."""

START_S = 300
"""Seconds in which the workers must be there, also where the machine is busy."""


def main() -> None:
    """Print the table; write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regions", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log-length", type=int, help="events of a topic in the scheduler's diary [default: Dask's]")
    parser.add_argument("--out", type=Path, default=Path("runs/scheduler"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(machine(), "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="tlseg-scheduler-") as folder:
        movie = Path(folder) / "movie.ome.zarr"
        simulate(movie, SimulationSettings(frames=1, start_nuclei=2, shape=(32, 64, 64)))
        run = prepare(Request(movie=movie, out=Path(folder) / "out"), Compute(workers=1, device="cpu")).run
        with cluster(options.workers, options.log_length) as (address, scheduler), Client(address) as client:
            hand_over(client, run, regions=2 * REGIONS_PER_FRAME)  # imports, connections, first allocations
            time.sleep(QUIET_S)
            with Memory({"client": psutil.Process(), "scheduler": psutil.Process(scheduler)}) as memory:
                began, before = time.perf_counter(), memory.cpu_seconds()
                done = hand_over(client, run, regions=options.regions, memory=memory)
                seconds = time.perf_counter() - began
                spent = {name: after - before[name] for name, after in memory.cpu_seconds().items()}
    rows = memory.rows
    grown = {name: rows[-1][column] - rows[0][column] for column, name in ((2, "client"), (3, "scheduler"))}
    write_csv(options.out / "scheduler.csv", rows)
    draw(options.out / "scheduler.png", rows)
    print(f"{done} regions in {seconds:.0f} s: {done / seconds:.0f} a second.\n")
    each = ", ".join(f"{name} {1e3 * s / done:.3f} ms" for name, s in spent.items())
    print(f"Processor time of a region: {each}.\n")
    print(f"Grown by: {', '.join(f'{name} {mib:.1f} MiB' for name, mib in grown.items())}.\n")
    at = [rows[round((len(rows) - 1) * share)] for share in (0.1, 0.5, 1.0)]
    print(
        table(["regions done", "client MiB", "scheduler MiB"], [[str(r[1]), f"{r[2]:.0f}", f"{r[3]:.0f}"] for r in at])
    )


def empty(run: RunContext, frame: int, region: int) -> int:
    """Do nothing to a region."""
    return 0


def hand_over(client: Client, run: RunContext, *, regions: int, memory: Memory | None = None) -> int:
    """Put regions through the flows of a run; returns how many came back."""
    done = 0

    def frame_flow(frame: int) -> Flow:
        numbers = range(min(REGIONS_PER_FRAME, regions - frame * REGIONS_PER_FRAME))
        yield [Task("empty", frame, number, empty, (run, frame, number)) for number in numbers]

    def count(_task: Task, _result: object) -> None:
        nonlocal done
        done += 1
        if memory is not None:
            memory.done = done

    flows = (frame_flow(frame) for frame in range(-(-regions // REGIONS_PER_FRAME)))
    drive(lambda: next(flows, None), ClientPool(client), open_flows=OPEN_FLOWS, on_done=count)
    return done


@contextmanager
def cluster(workers: int, log_length: int | None = None) -> Iterator[tuple[str, int]]:
    """Scheduler and workers as processes, once they are there; yields the scheduler's address and process id."""
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tlseg-dask-")))
        told = where / "scheduler.json"
        dask = [sys.executable, "-m", "dask"]
        here = ["--host", "127.0.0.1"]
        diary = {} if log_length is None else {"DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": str(log_length)}
        scheduler = stack.enter_context(
            running(
                [*dask, "scheduler", *here, "--port", "0", "--no-dashboard", "--scheduler-file", str(told)], **diary
            )
        )
        while not told.exists() or not told.read_text().strip():
            time.sleep(0.05)
        for _ in range(workers):
            one = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(where)]
            stack.enter_context(running([*dask, "worker", *here, *one, "--scheduler-file", str(told)]))
        with Client(scheduler_file=str(told)) as client:
            client.wait_for_workers(workers, timeout=START_S)
            address = client.scheduler.address
        yield address, scheduler.pid


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; killed where it does not (a worker's own close may wait half a minute)."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Memory:
    """Resident memory of processes, twice a second while inside: rows (s, regions done, MiB of each)."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self.processes = processes
        self.done = 0
        self.began = 0.0
        self.rows: list[tuple[float, ...]] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self.began = time.monotonic()
        self._check_workers()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._check_workers()

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time of each so far."""
        return {name: sum(p.cpu_times()[:2]) for name, p in self.processes.items()}

    def _watch(self) -> None:
        while not self.stop.wait(0.5):
            self._check_workers()

    def _check_workers(self) -> None:
        sizes = (p.memory_info().rss / MIB for p in self.processes.values())
        self.rows.append((time.monotonic() - self.began, self.done, *sizes))


def write_csv(path: Path, rows: list[tuple[float, ...]]) -> None:
    """Write memory over time."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["s", "regions_done", "client_mib", "scheduler_mib"])
        writer.writerows([[f"{v:.2f}" for v in row] for row in rows])


def draw(path: Path, rows: list[tuple[float, ...]]) -> None:
    """Draw memory against regions done."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="regions done", ylabel="resident memory, MiB")
    for column, name in ((2, "client"), (3, "scheduler")):
        axes.plot([r[1] for r in rows], [r[column] for r in rows], label=name)
    axes.set_ylim(0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
