"""Where tasks run: in this process, or on the workers of a Dask cluster.

A cluster is handed a bounded number of batches at a time, each to workers of its role. A task that fails is retried, and one
that always fails ends the run with an error that names it, even if it fails by killing its worker.
"""

from __future__ import annotations

import errno
import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from distributed import Client, Future, KilledWorker

from tlseg.errors import RunError, TlsegError
from tlseg.predict.infer import Device, gpu_count, resolve_device
from tlseg.run.tasks.batch import BatchSizes, Outcome, run_batch, this_worker
from tlseg.run.tasks.cluster import ClusterSpec, Tls, client_of, connected, local_cluster, started
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.flow import Finished, Needs, Task, TasksError
from tlseg.run.tasks.storage import share_options
from tlseg.run.tasks.workers import RESOURCE, Site, Workers, memory_per_worker, site_here, site_of
from tlseg.store.fs.atomic import NO_SPACE
from tlseg.store.fs.location import one_line
from tlseg.wording import how_many

TRIES = 3
"""How often a task may fail before the run does."""

LOOK_S = 2.0
"""How often the workers are counted."""

PATIENCE_S = 300.0
"""How long a run waits if no worker is left that could continue."""

NO_ACCESS = {errno.EROFS, errno.EACCES, errno.EPERM}


class SerialPool:
    """Tasks one after another in this process; networks still use all cores, a window each."""

    capacity = 1

    def __init__(self) -> None:
        self.queue: deque[tuple[int, Task]] = deque()

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
        tries, failed = 0, ""
        while True:
            began, tries = time.perf_counter(), tries + 1
            try:
                result = task.function(*task.arguments)
                return [Finished(ticket, result, time.perf_counter() - began, this_worker(), tries - 1, failed)]
            except Exception as error:
                failed = one_line(error)
                if tries == TRIES or not is_retryable(error):
                    raise explained(error, task, tries=tries) from error

    def cancel(self) -> None:
        """Forget what is queued."""
        self.queue.clear()


class ClientPool:
    """Tasks as futures on a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.token = uuid4().hex[:8]
        self.sizes = BatchSizes()
        self.arrived: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.flying: dict[Future[Any], tuple[Needs, list[tuple[int, Task]]]] = {}
        self.open: dict[Needs, list[tuple[int, Task]]] = {"network": [], "core": []}
        self.failures: dict[int, int] = {}
        self.errors: dict[int, str] = {}
        self.suspects: deque[tuple[int, Task]] = deque()
        self.alone: int | None = None
        self.sent = 0
        share_options(client)
        self.workers = Workers.of(client)
        if not self.workers.all:
            raise RunError("The Dask scheduler has no workers. Start some and try again.")
        # Roles that were there stay: networks do not move to CPU workers while GPU workers are started again.
        self.roles = self.workers.roles()
        self.looked = time.monotonic()
        self.absent_since: float | None = None

    def site(self, device: Device) -> Site:
        """Device and memory of the workers."""
        return site_of(self.client, self.workers, device)

    def slots(self, needs: Needs) -> int:
        """Tasks of a need that the workers can run at once."""
        return self.workers.slots(needs, self.roles)

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard."""
        return str(self.client.dashboard_link)

    @property
    def capacity(self) -> int:
        """Enough tasks to fill every role's batches."""
        self._look()
        return sum(map(self._most_batches, self._serving())) * self.sizes.largest

    def room(self, task: Task) -> bool:
        """Whether the open batch accepts it, or another batch may be sent."""
        if self.suspects or self.alone is not None:
            return False
        role = self._role(task.needs)
        batch = self.open[role]
        if batch and batch[0][1].stage == task.stage:
            return True
        flying = sum(role == other for other, _ in self.flying.values())
        return flying + bool(batch) < self._most_batches(role)

    def submit(self, ticket: int, task: Task) -> None:
        """Add a task to the open batch, and send the batch when it is full."""
        role = self._role(task.needs)
        if self.open[role] and self.open[role][0][1].stage != task.stage:
            self._send(role)
        self.open[role].append((ticket, task))
        if len(self.open[role]) >= self.sizes.of(task.stage):
            self._send(role)

    def finished(self) -> list[Finished]:
        """Wait for any batch."""
        done: list[Finished] = []
        while not done:
            for role in self._serving():
                self._send(role)
            if self.suspects and not self.flying:
                ticket, task = self.suspects.popleft()
                self.alone = ticket
                self._submit(self._role(task.needs), [(ticket, task)])
            for future in self._arrivals():
                done += self._collect(future)
        return done

    def cancel(self) -> None:
        """Forget all tasks."""
        futures = list(self.flying)
        self.flying.clear()
        self.suspects.clear()
        for batch in self.open.values():
            batch.clear()
        if futures and self.client.status == "running":
            with suppress(Exception):
                self.client.cancel(futures, force=True)  # type: ignore[no-untyped-call]

    def _role(self, needs: Needs) -> Needs:
        """Role of the workers that serve a need: one for both if none is there only for networks."""
        return needs if "network" in self.roles else "core"

    def _serving(self) -> tuple[Needs, ...]:
        return ("network", "core") if "network" in self.roles else ("core",)

    def _most_batches(self, role: Needs) -> int:
        """Batches in flight: one runs and one waits for each slot, so that none waits for the client."""
        return 2 * self.slots(role) + 2

    def _send(self, role: Needs) -> None:
        batch, self.open[role] = self.open[role], []
        if batch:
            self._submit(role, batch)

    def _submit(self, role: Needs, batch: list[tuple[int, Task]]) -> None:
        first = batch[0][1]
        self.sent += 1
        try:
            future = self.client.submit(
                run_batch,
                tuple(task for _, task in batch),
                key=f"tlseg_{first.stage}-{self.token}-{first.frame}-{first.number}-{self.sent}",
                pure=False,
                priority=-first.frame,
                resources={RESOURCE[role]: 1} if role in self.roles else None,
            )
            self.flying[future] = (role, batch)
            future.add_done_callback(self.arrived.put)  # type: ignore[no-untyped-call]
        except Exception as error:
            raise _gone(error) from error

    def _arrivals(self) -> list[Future[Any]]:
        """Futures that are done, at least one, unless the wait was long enough to check the workers."""
        try:
            found = [self.arrived.get(timeout=LOOK_S)]
        except queue.Empty:
            self._look()
            return []
        with suppress(queue.Empty):
            while True:
                found.append(self.arrived.get_nowait())
        return [future for future in found if future in self.flying]

    def _collect(self, future: Future[Any]) -> list[Finished]:
        role, batch = self.flying[future]
        try:
            outcomes: tuple[Outcome, ...] = future.result(timeout=LOOK_S)
        except TimeoutError:
            # Its worker died with the result, and the batch is being done again.
            future.add_done_callback(self.arrived.put)  # type: ignore[no-untyped-call]
            return []
        except KilledWorker as error:
            del self.flying[future]
            self._suspect(batch, error)
            return []
        except Exception as error:
            raise _gone(error) from error
        del self.flying[future]
        self.alone = None
        done = []
        for (ticket, task), outcome in zip(batch, outcomes, strict=True):
            if outcome.error is None:
                failures, failed = self.failures.pop(ticket, 0), self.errors.pop(ticket, "")
                done.append(Finished(ticket, outcome.result, outcome.seconds, outcome.worker, failures, failed))
                continue
            self.errors[ticket] = one_line(outcome.error)
            self.failures[ticket] = tried = self.failures.get(ticket, 0) + 1
            if tried == TRIES or not is_retryable(outcome.error):
                raise explained(outcome.error, task, tries=tried) from outcome.error
            self._submit(role, [(ticket, task)])
        self.sizes.learn(batch[0][1].stage, max(outcome.seconds for outcome in outcomes))
        return done

    def _suspect(self, batch: list[tuple[int, Task]], error: KilledWorker) -> None:
        """Workers died while they had these tasks: which task was the cause shows when each runs alone."""
        ticket, task = batch[0]
        if ticket == self.alone:
            raise TasksError(
                f"Stage {task.stage} killed {how_many(error.allowed_failures + 1, 'worker')} on frame {task.frame}, region "
                f"{task.number}, most likely for lack of memory. Give workers more (--memory-limit) or use a smaller "
                "--block."
            ) from error
        self.suspects.extend(batch)

    def _look(self) -> None:
        """Check which workers are there; raise if there were none for too long."""
        now = time.monotonic()
        if now - self.looked < LOOK_S:
            return
        self.looked = now
        if self.client.status == "closed":
            raise _gone(RunError("its scheduler closed the connection"))
        try:
            self.workers = Workers.of(self.client)
        except Exception:
            # While the client connects again; a client that gives up says so by its status.
            return
        self.roles |= self.workers.roles()
        waiting = {role for role, _ in self.flying.values()}  # GPUs may be given back when no network is left to run
        absent = [role for role in self._serving() if role in waiting and not self.slots(role)]
        if not absent:
            self.absent_since = None
        elif self.absent_since is None:
            self.absent_since = now
        elif now - self.absent_since > PATIENCE_S:
            which = f" with {RESOURCE[absent[0]]}" if absent[0] in self.roles else ""
            raise TasksError(f"For {PATIENCE_S:.0f} s the Dask cluster had no worker{which}. Start some.")


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


def is_retryable(error: Exception) -> bool:
    """Whether trying again may help: tlseg's own errors are certain, and a full disk stays full."""
    lasting = isinstance(error, OSError) and error.errno in NO_SPACE | NO_ACCESS
    return not (lasting or isinstance(error, TlsegError))


def explained(error: Exception, task: Task, *, tries: int = 1) -> TlsegError:
    """Return the error shown to the user: tlseg's own errors unchanged, everything else with its stage and region."""
    if isinstance(error, TlsegError):
        return error
    often = f" {tries} times" if tries > 1 else ""
    return TasksError(f"Stage {task.stage} failed{often} on frame {task.frame}, region {task.number}: {told(error)}")


def told(error: Exception) -> str:
    """An error in one line, with what to do about it where a disk refused to write."""
    advice = ""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        advice = " No space is left: free some."
    elif isinstance(error, OSError) and error.errno in NO_ACCESS:
        advice = " The output cannot be written to: fix its permissions."
    return f"{one_line(error)}.{advice}"


def _gone(error: Exception) -> RunError:
    return TasksError(f"The Dask cluster was lost ({one_line(error)}).")
