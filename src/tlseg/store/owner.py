"""Which process holds a lock, and does it still run?

A process is named by machine, number and start, so a number that was given to another process since is not mistaken
for it. Of another machine's processes nothing is known but when they last gave a sign of life.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psutil

STALE_LOCK_S = 600.0
"""A run on another machine that was silent this long is gone."""


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
        When it began, seconds since the epoch; None where unknown.
    """

    host: str
    pid: int
    started: float | None = None

    @property
    def here(self) -> bool:
        """Whether it belongs to this machine."""
        return self.host == socket.gethostname()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def runs(self, *, last_sign: float) -> bool:
        """Whether it runs: known on this machine, believed elsewhere until it was silent for `STALE_LOCK_S`.

        Parameters
        ----------
        last_sign
            When it last said that it is alive, seconds since the epoch.
        """
        if not self.here:
            return time.time() - last_sign < STALE_LOCK_S
        began = _began(self.pid)
        return began is not None and (self.started is None or abs(began - self.started) < 2)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Owner:
    """Name of the calling process."""
    return Owner(socket.gethostname(), os.getpid(), _began(os.getpid()))


def parse_owner(document: Any) -> Owner | None:
    """Owner in the JSON of a lock; None where it was cut short or is none."""
    if isinstance(document, str | bytes):
        try:
            document = json.loads(document)
        except ValueError:
            return None
    if not isinstance(document, Mapping) or not isinstance(document.get("pid"), int):
        return None
    started = document.get("started")
    known = float(started) if isinstance(started, int | float) else None
    return Owner(str(document.get("host")), document["pid"], known)


def _began(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
