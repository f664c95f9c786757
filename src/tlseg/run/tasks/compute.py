"""Where the work of a run is done, and with what: as requested, before any worker is contacted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tlseg.errors import PlanError
from tlseg.predict.device import Device
from tlseg.rules import whole
from tlseg.run.tasks.workers import Site

if TYPE_CHECKING:
    from distributed import Client

    from tlseg.run.tasks.cluster import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """One place for the work; it decides the speed, and for the result only the kind of device.

    The fields are arguments of `tlseg.segment`, and are documented there.

    Raises
    ------
    PlanError
        When the work cannot be done as requested, or several places are given.
    """

    workers: int = 0
    scheduler: str | None = None
    client: Client | None = None
    cluster: str | Path | Mapping[str, Any] | None = None
    tls: Tls | None = None
    device: Device = "auto"
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        """Check that values from Python are ones that the command line could have passed."""
        if not whole(0).holds(self.workers):
            raise PlanError(
                f"workers is {self.workers!r}. Expected a whole number of processes, 0 for this process alone."
            )
        if self.device not in get_args(Device):
            raise PlanError(f"device is {self.device!r}. Expected one of {', '.join(get_args(Device))}.")
        if self.memory_limit is not None and not whole(1).holds(self.memory_limit):
            raise PlanError(
                f"The memory limit is {self.memory_limit!r}. Expected a whole number of bytes, such as 8 * 2**30."
            )
        if self.client is not None and not _is_usable(self.client):
            raise PlanError(
                f"client is {self.client!r:.100}. Expected a connected, synchronous dask.distributed.Client; give the "
                "address of a scheduler, or its file, as scheduler=."
            )
        here = self.workers > 0 and self.cluster is None
        if sum([here, self.scheduler is not None, self.client is not None, self.cluster is not None]) > 1:
            raise PlanError("Give only one of --workers, --scheduler, --cluster or a client.")
        if self.scheduler is None and self.tls is not None and self.tls.given:
            raise PlanError(
                f"{', '.join(self.tls.given)}: such files are for the connection to a --scheduler, and none was given. Give "
                "its address, or omit them; a cluster file has options of its own."
            )

    @property
    def elsewhere(self) -> bool:
        """Whether workers may run on other machines."""
        return any(place is not None for place in (self.scheduler, self.client, self.cluster))

    def limited(self, site: Site) -> Site:
        """Return a site with the requested memory, if any was requested."""
        return site if self.memory_limit is None else replace(site, memory_bytes=self.memory_limit)


def _is_usable(client: Any) -> bool:
    """Whether tasks can be submitted; Dask is not loaded to find out."""
    return hasattr(client, "submit") and client.status != "closed" and not client.asynchronous
