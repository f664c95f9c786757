"""The workers, their roles, and the device and memory that the plan may count on.

A worker that offers the resource `GPU` runs networks, one window batch per unit at a time; one that offers `CPU` does
everything else. If no worker offers one of the two, any worker does that work. Resources are those that each worker itself
reports, never those of the machine that starts the run, and requesting a GPU when there is none is an error.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from tlseg import __version__
from tlseg.errors import RunError
from tlseg.predict.device import Device, TorchDevice, gpu_count, resolve_device
from tlseg.run.tasks.flow import Needs
from tlseg.wording import how_many

if TYPE_CHECKING:
    from distributed import Client

RESOURCE: Mapping[Needs, str] = {"network": "GPU", "core": "CPU"}


@dataclass(frozen=True, slots=True)
class Site:
    """What a run may count on: where networks run, windows a task computes at once, and bytes a task may use."""

    device: TorchDevice
    threads: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as the scheduler knows it."""

    address: str
    threads: int
    memory_bytes: int
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a cluster at one moment."""

    all: tuple[Worker, ...]

    @classmethod
    def of(cls, client: Client) -> Workers:
        """Ask the scheduler."""
        known = client.scheduler_info(n_workers=-1)["workers"]
        return cls(
            tuple(
                Worker(address, int(w["nthreads"]), int(w["memory_limit"] or 0), dict(w.get("resources") or {}))
                for address, w in sorted(known.items())
            )
        )

    def roles(self) -> frozenset[Needs]:
        """Needs for which there are dedicated workers."""
        return frozenset(needs for needs, name in RESOURCE.items() if any(w.resources.get(name) for w in self.all))

    def slots(self, needs: Needs, roles: frozenset[Needs]) -> int:
        """Tasks that can run at once, given which roles there are."""
        if needs in roles:
            return int(sum(w.resources.get(RESOURCE[needs], 0) for w in self.all))
        return sum(w.threads for w in self.all)

    def serving(self, needs: Needs) -> tuple[Worker, ...]:
        """Workers that would be given such a task."""
        named = tuple(w for w in self.all if w.resources.get(RESOURCE[needs]))
        return named or self.all


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker finds on its machine."""

    version: str
    host: str
    gpus: int
    memory_bytes: int


def probe_worker() -> WorkerInfo:
    """Find out what this process has; runs on workers."""
    return WorkerInfo(__version__, socket.gethostname(), gpu_count(), free_memory())


def site_here(device: Device) -> Site:
    """Site of this process.

    Raises
    ------
    RunError
        When a GPU is requested and there is none.
    """
    return Site(resolve_device(device), cores(), memory_per_worker(1))


def site_of(client: Client, workers: Workers, device: Device) -> Site:
    """Site of a cluster: the device its network workers share, and the memory of its smallest worker per thread.

    Raises
    ------
    RunError
        When workers lack the requested GPU, differ in having one, or run another version of tlseg.
    """
    found = _ask(client)
    for address, what in sorted(found.items()):
        if what.version != __version__:
            raise RunError(
                f"Worker {address} on {what.host} has tlseg {what.version}, this machine {__version__}. Install the same "
                "version on every machine."
            )
    limits = [(w.memory_bytes or found[w.address].memory_bytes) // w.threads for w in workers.all if w.address in found]
    return Site(_device(workers, found, device), 1, min(limits, default=memory_per_worker(1)))


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes free on this machine, or in the container that this process runs in."""
    from distributed.system import memory_limit

    return int(min(psutil.virtual_memory().available, memory_limit()))


def memory_per_worker(workers: int) -> int:
    """Bytes a worker of this machine may use: an even share of nine tenths of what is free now."""
    return int(free_memory() * 0.9 / max(1, workers))


def _ask(client: Client) -> dict[str, WorkerInfo]:
    try:
        answers: dict[str, Any] = client.run(probe_worker, on_error="return")
    except Exception as error:
        raise RunError(f"The workers of the Dask cluster do not answer ({error!r}). Restart them.") from error
    for address, answer in answers.items():
        if isinstance(answer, ImportError):
            raise RunError(
                f"Worker {address} cannot import tlseg ({answer}). Install the same version on every machine."
            ) from answer
    return {address: answer for address, answer in answers.items() if isinstance(answer, WorkerInfo)}


def _device(workers: Workers, found: Mapping[str, WorkerInfo], device: Device) -> TorchDevice:
    """Where networks run: the same kind of device on every worker that may be given them."""
    if device == "cpu":
        return "cpu"
    asked = [w.address for w in workers.serving("network") if w.address in found]
    without = [address for address in asked if not found[address].gpus]
    if not without and asked:
        return "cuda"
    if device == "auto" and len(without) == len(asked):
        return "cpu"
    example = f"{without[0]} on {found[without[0]].host}" if without else "none answered"
    those = f"{len(without)} of {how_many(len(asked), 'worker that runs', 'workers that run')} networks"
    if device == "cuda":
        raise RunError(
            f"A GPU was requested (--device cuda), but {those} found none ({example}). Start those with a GPU with "
            "--resources GPU=1, or use --device cpu."
        )
    raise RunError(
        f"{those} found no GPU ({example}), and results differ between kinds of device. Start those with a GPU with "
        "--resources GPU=1, or choose --device cpu."
    )
