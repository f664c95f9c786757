"""Replace jobs of a cluster that are gone: by their walltime, with their machine, or because somebody ended them.

Dask restarts no job in a cluster of a fixed size, and counts one of several processes as present long after it is gone. Here
a job whose workers have all left is ended, so that the cluster no longer counts it, and started again. One that waits in a
queue never had workers, and keeps its place; so does one whose workers were seen for less than one check, because a job that
cannot work would otherwise be restarted forever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from distributed import SpecCluster
from distributed.deploy.cluster import Cluster
from tornado.ioloop import PeriodicCallback

CHECK_S = 5.0
"""How often the jobs are checked."""


class JobReplacer:
    """Looks after the jobs of one cluster, in the cluster's event loop.

    Parameters
    ----------
    cluster
        Its `worker_spec` says what is wanted, its `workers` what was started.
    patience_s
        How long the workers of a job may be gone before it is replaced; a nanny starts its own again.
    """

    def __init__(self, cluster: SpecCluster, *, patience_s: float) -> None:
        self.cluster, self.patience_s = cluster, patience_s
        self.present: dict[object, float] = {}

    async def check(self) -> None:
        """End jobs that are gone, and start those that are wanted and missing."""
        for name in self._gone():
            del self.present[name]
            job = self.cluster.workers.pop(name)
            with suppress(Exception):  # it may be gone for those who are asked to end it, too
                await job.close()
        if set(self.cluster.worker_spec) - set(self.cluster.workers):
            with suppress(Exception):  # a queue that takes no job now is asked again
                await self.cluster

    def _gone(self) -> list[object]:
        """Jobs that had workers and have had none for too long."""
        now, here = time.monotonic(), {worker["name"] for worker in self.cluster.scheduler_info["workers"].values()}
        for name in self.cluster.workers:
            if self._members(name) & here:
                self.present[name] = now
        self.present = {name: at for name, at in self.present.items() if name in self.cluster.workers}
        return [name for name, at in self.present.items() if now - at > self.patience_s]

    def _members(self, name: object) -> set[object]:
        """Names of a job's workers."""
        group = self.cluster.worker_spec.get(name, {}).get("group")
        return {f"{name}{suffix}" for suffix in group} if group else {name}


@contextmanager
def replacing_lost_jobs(cluster: Cluster, *, patience_s: float) -> Iterator[None]:
    """Replace jobs that are gone while inside; clusters managed by an operator are left to it."""
    loop = cluster.loop
    if not isinstance(cluster, SpecCluster) or loop is None:
        yield
        return
    regularly = PeriodicCallback(JobReplacer(cluster, patience_s=patience_s).check, 1000 * CHECK_S)
    loop.add_callback(regularly.start)
    try:
        yield
    finally:
        loop.add_callback(regularly.stop)
