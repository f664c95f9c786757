"""Tasks on the workers of a Dask cluster.

A bounded number of batches is in flight, each sent to workers of its role. A task that fails is retried, and one that always
fails ends the run with an error that names it, even if it fails by killing its worker.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from contextlib import suppress
from typing import Any
from uuid import uuid4

from distributed import Client, Future, KilledWorker

from tlseg.errors import RunError, one_line
from tlseg.predict.device import Device
from tlseg.run.tasks.batch import BatchSizes, Outcome, run_batch
from tlseg.run.tasks.cluster_file import first_cause
from tlseg.run.tasks.failures import Retries
from tlseg.run.tasks.flow import Finished, Needs, Task, TasksError
from tlseg.run.tasks.storage import share_options
from tlseg.run.tasks.workers import RESOURCE, Site, Workers, site_of
from tlseg.wording import how_many

CHECK_S = 2.0
"""How often the workers are counted."""

PATIENCE_S = 300.0
"""How long a run waits if no worker is left that could continue."""


class ClientPool:
    """Tasks as futures on a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.token = uuid4().hex[:8]
        self.sizes = BatchSizes()
        self.arrived: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.in_flight: dict[Future[Any], tuple[Needs, list[tuple[int, Task]]]] = {}
        self.open: dict[Needs, list[tuple[int, Task]]] = {"network": [], "core": []}
        self.retries = Retries()
        self.suspects: deque[tuple[int, Task]] = deque()
        self.alone: int | None = None
        self.sent = 0
        share_options(client)
        self.workers = Workers.of(client)
        if not self.workers.all:
            raise RunError("The Dask scheduler has no workers. Start some and try again.")
        # Roles that were there stay: networks do not move to CPU workers while GPU workers are started again.
        self.roles = self.workers.roles()
        self.checked = time.monotonic()
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
    def specialised(self) -> bool:
        """Whether there are workers only for networks, or only for everything else."""
        return bool(self.roles)

    @property
    def capacity(self) -> int:
        """Enough tasks to fill every role's batches."""
        self._check_workers()
        return sum(map(self._most_batches, self._serving())) * self.sizes.largest

    def room(self, task: Task) -> bool:
        """Whether the open batch accepts it, or another batch may be sent."""
        if self.suspects or self.alone is not None:
            return False
        role = self._role(task.needs)
        batch = self.open[role]
        if batch and batch[0][1].stage == task.stage:
            return True
        flying = sum(role == other for other, _ in self.in_flight.values())
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
            if self.suspects and not self.in_flight:
                ticket, task = self.suspects.popleft()
                self.alone = ticket
                self._submit(self._role(task.needs), [(ticket, task)])
            for future in self._arrivals():
                done += self._collect(future)
        return done

    def cancel(self) -> None:
        """Forget all tasks."""
        futures = list(self.in_flight)
        self.in_flight.clear()
        self.suspects.clear()
        for batch in self.open.values():
            batch.clear()
        if futures and self.client.status == "running":
            with suppress(Exception):
                self.client.cancel(futures, force=True)  # type: ignore[no-untyped-call]

    def _role(self, needs: Needs) -> Needs:
        """Role of the workers that serve a need: one for both if no worker is there for one of them."""
        return needs if self.specialised else "core"

    def _serving(self) -> tuple[Needs, ...]:
        return ("network", "core") if self.specialised else ("core",)

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
            self.in_flight[future] = (role, batch)
            future.add_done_callback(self.arrived.put)  # type: ignore[no-untyped-call]
        except Exception as error:
            raise _gone(error) from error

    def _arrivals(self) -> list[Future[Any]]:
        """Futures that are done, at least one, unless the wait was long enough to check the workers."""
        try:
            found = [self.arrived.get(timeout=CHECK_S)]
        except queue.Empty:
            self._check_workers()
            return []
        with suppress(queue.Empty):
            while True:
                found.append(self.arrived.get_nowait())
        return [future for future in found if future in self.in_flight]

    def _collect(self, future: Future[Any]) -> list[Finished]:
        role, batch = self.in_flight[future]
        try:
            outcomes: tuple[Outcome, ...] = future.result(timeout=CHECK_S)
        except TimeoutError:
            # Its worker died with the result, and the batch is being done again.
            future.add_done_callback(self.arrived.put)  # type: ignore[no-untyped-call]
            return []
        except KilledWorker as error:
            del self.in_flight[future]
            self._suspect(batch, error)
            return []
        except Exception as error:
            raise _unreadable(batch[0][1], error) if future.status == "error" else _gone(error) from error
        del self.in_flight[future]
        self.alone = None
        done = []
        for (ticket, task), outcome in zip(batch, outcomes, strict=True):
            finished = self.retries.settle(ticket, task, outcome)
            if finished is None:
                self._submit(role, [(ticket, task)])
            else:
                done.append(finished)
        self.sizes.learn(batch[0][1].stage, max(outcome.seconds for outcome in outcomes))
        return done

    def _suspect(self, batch: list[tuple[int, Task]], error: KilledWorker) -> None:
        """Workers died while they had these tasks: which task was the cause shows when each runs alone."""
        ticket, task = batch[0]
        if ticket == self.alone:
            raise TasksError(
                f"Stage {task.stage} killed {how_many(error.allowed_failures + 1, 'worker')} on {task.place}, most "
                "likely for lack of memory. Give workers more (--memory-limit) or use a smaller --block."
            ) from error
        self.suspects.extend(batch)

    def _check_workers(self) -> None:
        """Check which workers are there; raise if there were none for too long."""
        now = time.monotonic()
        if now - self.checked < CHECK_S:
            return
        self.checked = now
        if self.client.status == "closed":
            raise _gone(RunError("its scheduler closed the connection"))
        try:
            self.workers = Workers.of(self.client)
        except Exception:
            # While the client connects again; a client that gives up says so by its status.
            return
        self.roles |= self.workers.roles()
        waiting = {role for role, _ in self.in_flight.values()}  # GPUs may be given back when no network is left to run
        absent = [role for role in self._serving() if role in waiting and not self.slots(role)]
        if not absent:
            self.absent_since = None
        elif self.absent_since is None:
            self.absent_since = now
        elif now - self.absent_since > PATIENCE_S:
            which = f" with {RESOURCE[absent[0]]}" if absent[0] in self.roles else ""
            raise TasksError(f"For {PATIENCE_S:.0f} s the Dask cluster had no worker{which}. Start some.")


def _gone(error: Exception) -> RunError:
    return TasksError(f"The Dask cluster was lost ({one_line(error)}).")


def _unreadable(task: Task, error: Exception) -> RunError:
    return TasksError(
        f"Workers could not begin stage {task.stage} on {task.place} ({one_line(first_cause(error))}). Install the same "
        "packages on every machine."
    )
