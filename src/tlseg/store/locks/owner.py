"""Which process holds a lock, and does it still run?

A process is named by machine, number and birth, so a number that was given to another process since is not mistaken
for it. Of processes on other machines, only their last sign of life is known.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

STALE_LOCK_S = 600.0
"""A run on another machine that was silent this long counts as gone."""

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process.

    Attributes
    ----------
    host : str
        Name of its machine.
    pid : int
        Its number there.
    started : float or None
        When it began, seconds since the epoch, by the clock at that time; None if unknown.
    birth : str or None
        Boot of its machine and clock ticks from there to its beginning, which no change of the clock changes; None if the
        system does not give it.
    """

    host: str
    pid: int
    started: float | None = None
    birth: str | None = None

    @property
    def here(self) -> bool:
        """Whether it belongs to this machine."""
        return self.host == socket.gethostname()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def runs(self, *, last_sign: float) -> bool:
        """Whether it runs: known on this machine, believed where it cannot be until it was silent for `STALE_LOCK_S`.

        Parameters
        ----------
        last_sign
            When it last said that it is alive, seconds since the epoch.
        """
        speaks = time.time() - last_sign < STALE_LOCK_S
        if not self.here:
            return speaks
        birth = _birth(self.pid)
        if self.birth is not None and birth is not None:
            return birth == self.birth
        began = _began(self.pid)
        # Of one that began at another time, either the clock was changed or the number was given to another.
        return began is not None and (self.started is None or abs(began - self.started) < 2 or speaks)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Owner:
    """Name of the calling process."""
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, _began(pid), _birth(pid))


def parse_owner(document: Mapping[str, Any]) -> Owner | None:
    """Owner in what a lock says; None if it names none."""
    if not isinstance(document.get("pid"), int):
        return None
    started, birth = document.get("started"), document.get("birth")
    return Owner(
        str(document.get("host")),
        document["pid"],
        float(started) if isinstance(started, int | float) else None,
        birth if isinstance(birth, str) else None,
    )


def _began(pid: int) -> float | None:
    """When a process began, which psutil reckons from the clock as it stands now."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def _birth(pid: int) -> str | None:
    """Boot and start of a process on Linux; None elsewhere, and if the process does not exist."""
    with suppress(OSError, IndexError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        # proc(5): the name, in brackets, may hold anything; the start is field 22, the 20th after it.
        ticks = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        return f"{boot}:{ticks}"
    return None
