"""Where tasks run: in this process, on workers of this machine, or on any Dask cluster."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from tlseg.errors import PlanError, RunError, TlsegError
from tlseg.run.flow import Pool, Task
from tlseg.store.location import one_line

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 20.0
"""How long a scheduler may take to answer."""


class SerialPool:
    """Tasks one after another in this process; networks still use all cores, a window each."""

    capacity = 1

    def __init__(self) -> None:
        self.queue: deque[tuple[int, Task]] = deque()

    def submit(self, ticket: int, task: Task) -> None:
        """Queue a task; it runs when its result is asked for."""
        self.queue.append((ticket, task))

    def finished(self) -> tuple[int, Any]:
        """Run the next task."""
        ticket, task = self.queue.popleft()
        try:
            return ticket, task.function(*task.arguments)
        except Exception as error:
            raise explained(error, task) from error


class ClientPool:
    """Tasks as futures on a Dask cluster, a bounded number at a time."""

    def __init__(self, client: Client) -> None:
        from distributed import as_completed

        self.client = client
        threads = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
        if not threads:
            raise RunError("The Dask scheduler has no workers. Start some and try again.")
        self.capacity = 2 * threads + 2
        self.done = as_completed()  # type: ignore[no-untyped-call]
        self.tasks: dict[Any, tuple[int, Task]] = {}

    def submit(self, ticket: int, task: Task) -> None:
        """Send a task; earlier tickets run first."""
        key = f"tlseg-{task.stage}-{ticket}-{id(self)}"
        try:
            future = self.client.submit(task.function, *task.arguments, key=key, pure=False, priority=-ticket)
        except Exception as error:
            raise _gone(error) from error
        self.tasks[future] = (ticket, task)
        self.done.add(future)  # type: ignore[no-untyped-call]

    def finished(self) -> tuple[int, Any]:
        """Wait for any future."""
        try:
            future = next(self.done)
        except Exception as error:
            raise _gone(error) from error
        ticket, task = self.tasks.pop(future)
        try:
            return ticket, future.result()
        except Exception as error:
            raise explained(error, task) from error


@contextmanager
def open_pool(*, workers: int, scheduler: str | None, client: Client | None) -> Iterator[Pool]:
    """Pool for a run: a given client, a scheduler's address, `workers` processes here, or (all unset) this process.

    Raises
    ------
    RunError
        When the scheduler cannot be reached or has no workers.
    """
    if sum([workers > 0, scheduler is not None, client is not None]) > 1:
        raise PlanError("Give one of --workers and --scheduler, or a client, not several.")
    if client is not None:
        yield ClientPool(client)
    elif scheduler is not None:
        from distributed import Client

        try:
            connected = Client(scheduler, timeout=CONNECT_S)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise RunError(
                f"No Dask scheduler answers at {scheduler} ({one_line(error)}). Check the address."
            ) from error
        with connected:
            yield ClientPool(connected)
    elif workers:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=memory_per_worker(workers),
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            ) as cluster,
            Client(cluster) as connected,  # type: ignore[no-untyped-call]
        ):
            yield ClientPool(connected)
    else:
        yield SerialPool()


def memory_per_worker(workers: int) -> int:
    """Bytes a worker of this machine may use: an even share of nine tenths of what is free now."""
    return int(psutil.virtual_memory().available * 0.9 / max(1, workers))


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def explained(error: Exception, task: Task) -> TlsegError:
    """Return the error a person sees: what tlseg says itself unchanged, everything else with its stage and region."""
    if isinstance(error, TlsegError):
        return error
    return RunError(
        f"Stage {task.stage} failed on frame {task.frame}, region {task.number}: {one_line(error)}. What is done is "
        "kept; the same command goes on from there."
    )


def _gone(error: Exception) -> RunError:
    return RunError(
        f"The Dask cluster went away ({one_line(error)}). What is done is kept; the same command goes on from there."
    )
