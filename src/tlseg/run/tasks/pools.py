"""Where tasks run: in this process, on worker processes of this machine, or on a Dask cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from tlseg.predict.device import Device, gpu_count, resolve_device
from tlseg.run.tasks.batch import run_task
from tlseg.run.tasks.client_pool import ClientPool
from tlseg.run.tasks.cluster import Tls, client_of, connected, local_cluster, started
from tlseg.run.tasks.cluster_file import ClusterSpec
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.failures import Retries
from tlseg.run.tasks.flow import Finished, Needs, Task
from tlseg.run.tasks.workers import Site, memory_per_worker, site_here


class SerialPool:
    """Tasks one after another in this process; networks still use all cores, a window each."""

    capacity = 1
    specialised = False
    dashboard = ""

    def __init__(self) -> None:
        self.queue: deque[tuple[int, Task]] = deque()
        self.retries = Retries()

    def site(self, device: Device) -> Site:
        """Device and memory of this process."""
        return site_here(device)

    def slots(self, needs: Needs) -> int:
        """Capacity of this process: one task."""
        return 1

    def room(self, task: Task) -> bool:
        """One task at a time."""
        return not self.queue

    def submit(self, ticket: int, task: Task) -> None:
        """Queue a task; it runs when its result is asked for."""
        self.queue.append((ticket, task))

    def finished(self) -> list[Finished]:
        """Run the next task."""
        ticket, task = self.queue.popleft()
        while (done := self.retries.settle(ticket, task, run_task(task))) is None:
            pass
        return [done]

    def cancel(self) -> None:
        """Forget what is queued."""
        self.queue.clear()


@contextmanager
def open_pool(compute: Compute) -> Iterator[SerialPool | ClientPool]:
    """Pool for a run: a given client, a scheduler's address, a cluster file, worker processes here, or this process.

    Raises
    ------
    PlanError
        When the cluster file is not valid.
    RunError
        When the scheduler cannot be reached or has no workers, or a GPU is requested and there is none.
    """
    workers, cluster = compute.workers, compute.cluster
    if compute.client is not None:
        yield ClientPool(compute.client)
    elif compute.scheduler is not None:
        with connected(compute.scheduler, compute.tls or Tls()) as found:
            yield ClientPool(found)
    elif cluster is not None:
        spec = (
            ClusterSpec.parse(cluster, where="cluster") if isinstance(cluster, Mapping) else ClusterSpec.read(cluster)
        )
        with started(replace(spec, workers=workers, adapt=None) if workers else spec) as found:
            yield ClientPool(found)
    elif workers:
        gpus = gpu_count() if resolve_device(compute.device) == "cuda" else 0
        memory = compute.memory_limit or memory_per_worker(workers + gpus)
        with local_cluster(workers, gpus=gpus, memory_bytes=memory) as made, client_of(made) as found:
            yield ClientPool(found)
    else:
        yield SerialPool()
