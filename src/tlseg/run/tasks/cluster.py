"""Which cluster does the work: one on this machine, one that a file describes, or an existing one.

A cluster started here ends with the run, also when the run fails; an existing one is left as it was.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.security import Security

from tlseg.errors import PlanError, RunError, one_line
from tlseg.run.tasks.cluster_file import ClusterSpec, first_cause, patiently
from tlseg.run.tasks.lost_jobs import replacing_lost_jobs
from tlseg.wording import how_many

CONNECT_S = 20.0
"""How long a scheduler may take to answer."""

NO_SPILLING = {f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")}
"""Tasks return a few numbers, so there is nothing to spill; a worker that pauses because a network needs much would
never continue. What is left is the nanny, which ends a worker near its limit before the machine runs out."""

LOST_WORKER_TIMEOUT = "distributed.deploy.lost-worker-timeout"
LOST_WORKER_S = 120.0
"""How long a worker that was lost may take to come back before its nanny, or its job, is ended and another begun. Dask's
15 s are shorter than a worker takes to start on a busy machine; a run itself waits for 300 s where no worker is left."""

ADAPTIVE_TARGET = "distributed.adaptive.target-duration"
ADAPTIVE_TARGET_S = 0.1
"""How long the tasks in flight may take before a cluster that adapts grows. Dask's 5 s are for a scheduler that knows all of
the work; it sees only a few short tasks for each worker here, and would never ask for a second one."""

BEFORE_SPAWN = "distributed.nanny.pre-spawn-environ"
TRIM = "MALLOC_TRIM_THRESHOLD_"
DASK_TRIM = 65536
ALLOCATOR = {TRIM: 32 << 20, "MALLOC_MMAP_THRESHOLD_": 16 << 20, "MALLOC_ARENA_MAX": 1}
"""What a worker's allocator (glibc) keeps for the next array, in bytes, and in how many places. Dask has it give back all
but 64 KiB, so that each array is fetched from the system page by page, and cleared, which makes all stages but the networks
take 1.6 times as long (`benchmarks/scaling.py --measure`). Keeping more is hardly faster, and leaves gaps that add up."""

MAIN_GUARD = (
    'A script that starts processes must do its work under `if __name__ == "__main__":`: each imports it first.'
)

SETTLE_S = 60.0
"""How long the end of a cluster waits for processes that are being started."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files that secure the connection to a `tls://` scheduler; if not given, Dask's own configuration applies."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def given(self) -> dict[str, Path]:
        """The files that were given, by their options."""
        files = {"--tls-ca": self.ca, "--tls-cert": self.cert, "--tls-key": self.key}
        return {option: path for option, path in files.items() if path is not None}

    def security(self) -> Security | None:
        """Return the security settings for a Dask client, None for Dask's configuration.

        Raises
        ------
        PlanError
            When only some of the files are given, or one cannot be read.
        """
        if not self.given:
            return None
        missing = [option for option in ("--tls-ca", "--tls-cert", "--tls-key") if option not in self.given]
        if missing:
            raise PlanError(
                f"TLS needs --tls-ca, --tls-cert and --tls-key together; {' and '.join(missing)} is missing."
            )
        for option, path in self.given.items():
            if not os.access(path, os.R_OK):
                raise PlanError(f"{option} {path} cannot be read. Expected a file in PEM format.")
        return Security(  # type: ignore[no-untyped-call]
            tls_ca_file=str(self.ca),
            tls_client_cert=str(self.cert),
            tls_client_key=str(self.key),
            require_encryption=True,
        )


@contextmanager
def supervised(start: Callable[[], Cluster]) -> Iterator[Cluster]:
    """Start a cluster that waits for workers it lost and then replaces them; end it once none is being started again.

    How long to wait is configured for the process, and read when a worker is lost; a longer time that somebody chose holds,
    and so does what somebody chose for the allocator, or with `adapt: {target_duration: ...}` in a cluster file.
    """
    patience_s = max(parse_timedelta(dask.config.get(LOST_WORKER_TIMEOUT)), LOST_WORKER_S)
    environment = dict(dask.config.get(BEFORE_SPAWN))
    if environment.get(TRIM) == DASK_TRIM:
        environment = ALLOCATOR | environment | {TRIM: ALLOCATOR[TRIM]}
    settings = {
        LOST_WORKER_TIMEOUT: f"{patience_s}s",
        ADAPTIVE_TARGET: f"{ADAPTIVE_TARGET_S}s",
        BEFORE_SPAWN: environment,
    }
    with dask.config.set(settings), start() as cluster:
        try:
            with replacing_lost_jobs(cluster, patience_s=patience_s):
                yield cluster
        finally:
            _await_started(cluster)


def _await_started(cluster: Cluster) -> None:
    """Wait until no process is being started: a nanny that is closed meanwhile fails, and hides why the run ended."""
    nannies = [worker for worker in getattr(cluster, "workers", {}).values() if isinstance(worker, Nanny)]
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end and any(
        nanny.status is Status.running and (nanny.process is None or nanny.process.status is not Status.running)
        for nanny in nannies
    ):
        time.sleep(0.05)


@contextmanager
def local_cluster(workers: int, *, gpus: int, memory_bytes: int) -> Iterator[Cluster]:
    """Start processes on this machine: one for each GPU, which only runs networks, and `workers` for everything else.

    Without GPUs the `workers` do everything. A process that uses more than `memory_bytes`, or dies, is started again.

    Raises
    ------
    RunError
        When they do not start, or this is itself such a process, importing the script that started it.
    """
    # What multiprocessing asks itself: it is set in a process from its start until the script is imported.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RunError(
            f"A process started by this script runs the script again and would start processes too. {MAIN_GUARD}"
        )
    common = {
        "nthreads": 1,
        "memory_limit": memory_bytes,
        "host": "127.0.0.1",
        "dashboard": False,
        "silence_logs": 50,
        "config": NO_SPILLING,
    }
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    spec: dict[str, Any] = {
        f"gpu-{device}": {
            "cls": Nanny,
            "options": {**common, "resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": device}},
        }
        for device in visible[:gpus]
    }
    for number in range(workers):
        role = {"resources": {"CPU": 1}} if gpus else {}
        spec[f"cpu-{number}"] = {"cls": Nanny, "options": {**common, **role}}
    options = {"host": "127.0.0.1", "port": 0, "dashboard": True, "dashboard_address": "127.0.0.1:0"}
    scheduler = {"cls": Scheduler, "options": options}

    def start() -> Cluster:
        try:
            return patiently(partial(SpecCluster, workers=spec, scheduler=scheduler, silence_logs=50))
        except Exception as error:  # whatever a process may end with before it is a worker
            raise RunError(
                f"Processes on this machine cannot be started ({one_line(first_cause(error))}). {MAIN_GUARD}"
            ) from error

    with supervised(start) as made:
        yield made


def client_of(address: Cluster | str | None = None, **options: Any) -> Client:
    """Connect to a cluster for tlseg alone: what else this process computes with Dask stays where it was."""
    return Client(address, set_as_default=False, **options)  # type: ignore[no-untyped-call]


@contextmanager
def started(spec: ClusterSpec) -> Iterator[Client]:
    """Start a cluster from a file, wait for its first worker, and end it afterwards.

    Raises
    ------
    RunError
        When no worker joins.
    """
    with supervised(spec.open) as cluster, _unlogged(), client_of(cluster) as client:
        try:
            client.wait_for_workers(spec.least, timeout=spec.wait_s)
        except TimeoutError as error:
            raise RunError(
                f"{spec.name} has {len(client.nthreads())} of {how_many(spec.least, 'worker')} after {spec.wait_s:.0f} s. "
                "Check the queue or the pods, or wait longer with wait_s in the cluster file."
            ) from error
        yield client


@contextmanager
def connected(address: str, tls: Tls) -> Iterator[Client]:
    """Connect to a scheduler by its address, or by the scheduler file that it wrote.

    Raises
    ------
    RunError
        When it does not answer.
    """
    security = tls.security()
    file = address if "://" not in address and Path(address).is_file() else None
    to = None if file else address
    try:
        client = patiently(lambda: client_of(to, scheduler_file=file, timeout=CONNECT_S, security=security))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        advice = "Check the address"
        if address.startswith("tls://") and security is None:
            advice += ", and give --tls-ca, --tls-cert and --tls-key or configure Dask's distributed.comm.tls"
        raise RunError(f"No Dask scheduler answers at {address} ({one_line(error)}). {advice}.") from error
    with _unlogged(), client:
        yield client


@contextmanager
def _unlogged() -> Iterator[None]:
    """Suppress the tracebacks that Dask logs when a scheduler is gone: the run says it in one line."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
