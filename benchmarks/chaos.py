"""Are the labels the same when workers, the client and the scheduler are killed?

    PYTHONPATH=tests python benchmarks/chaos.py [--rounds 2] [--stages predict,flood,...] [--clients 4] [--schedulers 1]

A small movie is segmented undisturbed, then again and again while processes are ended with SIGKILL. Workers die in every
stage, in the middle of a task: some when its work begins, some when it is done and only the answer is missing. The client
dies and the same command is given again; the scheduler dies and a new cluster goes on. Labels, table and tracks must be the
undisturbed run's, byte for byte; the exit code is 1 otherwise.

The tests run it with few kills; `make chaos` kills workers 32 times, the client 4 times and the scheduler once.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Worker, WorkerPlugin
from machine import machine, table
from scheduler import cluster as processes

from runs import essence, inputs, run
from tlseg.errors import RunError
from tlseg.run import stages
from tlseg.run.tasks.cluster import local_cluster
from tlseg.run.watch.events import Event
from workers import forked

STAGES = ("find_statistics", "predict", "detect", "number", "flood", "measure", "summarise", "write")
FRAMES = 3
WORKERS_S = 300
"""Seconds in which killed workers must be replaced."""

RESTARTS = 10
"""Starts of a client after which a run that still did not finish counts as failed."""


def main() -> None:
    """Print the table; exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="runs for each stage; two workers are killed in each")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--clients", type=int, default=4, help="times the client is killed")
    parser.add_argument("--schedulers", type=int, default=1, help="times the scheduler is killed")
    parser.add_argument("--as-client", nargs=4, metavar=("FOLDER", "OUT", "ADDRESS", "STAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_client:
        run_and_die(*options.as_client)
        return
    print(machine(), "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="tlseg-chaos-") as name:
        folder = Path(name)
        movie, model = inputs(folder, frames=FRAMES)
        run(movie, model, out=folder / "undisturbed.zarr")
        expected = essence(folder / "undisturbed.zarr")
        runs: list[Run] = []
        for what, kill in plan(options, folder):
            began = time.monotonic()
            out = folder / f"{len(runs)}.zarr"
            try:
                kills, verdict = kill(out), "identical" if essence(out) == expected else "DIFFERENT"
            except RunError as error:
                kills, verdict = 0, f"FAILED: {error}"
            runs.append(Run(what, kills, verdict, time.monotonic() - began))
            print(runs[-1], flush=True)
    headers = ["killed", "runs", "kills", "labels, table and tracks", "s"]
    print("\n" + table(headers, [row(list(same)) for _, same in groupby(sorted(runs, key=order), key=order)]))
    identical = sum(one.verdict == "identical" for one in runs)
    print(f"\n{sum(one.kills for one in runs)} kills, {identical} of {len(runs)} runs identical.")
    raise SystemExit(identical < len(runs))


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was disturbed: by what, how often, what came of it, and the seconds it took."""

    what: str
    kills: int
    verdict: str
    seconds: float


def order(one: Run) -> tuple[int, str]:
    """Where runs that were disturbed alike stand in the table: stages as they follow each other, then the others."""
    stage = one.what.removeprefix("workers, ")
    return STAGES.index(stage) if stage in STAGES else len(STAGES), one.what


def row(runs: list[Run]) -> list[str]:
    """Line of the table for runs that were disturbed alike."""
    verdicts = ", ".join(sorted({one.verdict for one in runs}))
    kills, seconds = sum(one.kills for one in runs), sum(one.seconds for one in runs)
    return [runs[0].what, str(len(runs)), str(kills), verdicts, f"{seconds:.1f}"]


def plan(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Callable[[Path], int]]]:
    """What is killed in each run, and how: functions that make a result and return how many kills it took."""
    with deadly_cluster(folder / "tokens") as client:
        for stage in options.rounds * options.stages.split(","):
            yield f"workers, {stage}", lambda out, stage=stage: kill_workers(client, folder, out, stage)
    if options.clients:
        yield "client", lambda out: kill_clients(folder, out, options.clients)
    for _ in range(options.schedulers):
        yield "scheduler", lambda out: kill_scheduler(folder, out)


# --- workers --------------------------------------------------------------------------------------------------------


class Killer(WorkerPlugin):
    """Ends its process inside a task of a stage where a token in a folder names the process."""

    name = "killer"

    def __init__(self, tokens: Path) -> None:
        self.tokens = tokens

    def setup(self, worker: Worker) -> None:
        """Put the trap around every stage of this process; tasks name their function, so they find the trap."""
        for stage in STAGES:
            setattr(stages, stage, self.deadly(getattr(stages, stage), stage))

    def deadly(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return the function with a chance to die before its work, and one after it."""

        def call(*arguments: Any) -> Any:
            self.die_if_told(f"{stage}.begun.{os.getpid()}")
            result = function(*arguments)
            self.die_if_told(f"{stage}.done.{os.getpid()}")
            return result

        return call

    def die_if_told(self, token: str) -> None:
        """Take the token, where there is one, and die."""
        try:
            (self.tokens / token).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def deadly_cluster(tokens: Path) -> Iterator[Client]:
    """Two workers as a run starts them, each with the trap; their nannies start them again."""
    tokens.mkdir()
    with (
        forked(),
        dask.config.set({"distributed.scheduler.allowed-failures": 10}),
        local_cluster(2, gpus=0, memory_bytes=2**31) as made,
        Client(made) as client,
    ):
        client.register_plugin(Killer(tokens))
        yield client


def kill_workers(client: Client, folder: Path, out: Path, stage: str) -> int:
    """Run while one worker dies at the beginning of a task of a stage, and one at the end; returns how many did."""
    client.wait_for_workers(2, timeout=WORKERS_S)
    first, second = client.run(os.getpid).values()
    tokens = {folder / "tokens" / f"{stage}.begun.{first}", folder / "tokens" / f"{stage}.done.{second}"}
    for token in tokens:
        token.touch()
    run(folder / "movie.ome.zarr", folder / "model", out=out, client=client)
    left = {token for token in tokens if token.exists()}
    for token in left:
        token.unlink()
    return len(tokens - left)


# --- client and scheduler -------------------------------------------------------------------------------------------


def kill_clients(folder: Path, out: Path, kills: int) -> int:
    """Give the same command until it ends, and kill it in a later stage each time."""
    moments = ["predict", "detect", "flood", "measure"]
    with processes(2) as (address, _):
        for start in range(RESTARTS):
            stage = moments[start % len(moments)] if start < kills else "never"
            client = [sys.executable, __file__, "--as-client", str(folder), str(out), address, stage]
            done = subprocess.run(client, check=False, timeout=300)
            if done.returncode == 0:
                return start
            if done.returncode != -signal.SIGKILL:
                raise RunError(f"The client ended with {done.returncode} instead of being killed.")
    raise RunError(f"The run did not end in {RESTARTS} starts.")


def run_and_die(folder: str, out: str, address: str, stage: str) -> None:
    """Be a client that is killed when a stage has more done than it had at the start."""
    began: dict[str, int] = {}

    def die(event: object) -> None:
        if isinstance(event, Event) and event.stage == stage and event.done > began.setdefault(stage, event.done):
            os.kill(os.getpid(), signal.SIGKILL)

    run(Path(folder) / "movie.ome.zarr", Path(folder) / "model", out=Path(out), scheduler=address, listener=die)


def kill_scheduler(folder: Path, out: Path) -> int:
    """Kill the scheduler in the flood; another cluster goes on."""
    kills = 0
    with processes(2) as (address, scheduler), dask.config.set({"distributed.comm.timeouts.connect": "2s"}):

        def kill(event: object) -> None:
            nonlocal kills
            if isinstance(event, Event) and event.stage == "flood" and event.done and not kills:
                kills += 1
                os.kill(scheduler, signal.SIGKILL)

        try:
            run(folder / "movie.ome.zarr", folder / "model", out=out, scheduler=address, listener=kill)
        except RunError as error:
            print(f"    {error}")
    with processes(2) as (address, _):
        run(folder / "movie.ome.zarr", folder / "model", out=out, scheduler=address)
    return kills


if __name__ == "__main__":
    main()
