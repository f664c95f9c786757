"""The event log of a run: one JSON object a line, few enough lines for a movie of any length.

Single events are written at once. Regions are summed up per stage, once a second and ever more rarely, so that a run of a
day writes a few megabytes. An event log that cannot be written does not stop the run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tlseg.errors import one_line
from tlseg.store.fs.place import Place
from tlseg.store.working.folder import make_private

FILE = "events.jsonl"

LINE_S = 1.0
"""Regions are summed up at most this often."""

LINES = 500
"""Sums of a stage that a run writes before it doubles its age; bounds the file for runs of any length."""

BY_A_PERSON = "stopped by Ctrl-C"
"""The reason logged when a person stops a run: nothing went wrong."""

COPY_S = 30.0
"""How often the event log of a run with a remote result is copied there."""


@dataclass(slots=True)
class _Sum:
    """Regions of a stage since the last line."""

    regions: int = 0
    seconds: float = 0.0
    slowest: dict[str, Any] = field(default_factory=dict)
    workers: set[str] = field(default_factory=set)
    state: dict[str, Any] = field(default_factory=dict)


class EventLog:
    """Writes events of a run to a local file, and copies it to a remote place; use it in a `with` block."""

    def __init__(self, path: Path | None, *, copy: Place | None = None, clock: Callable[[], float] = time.time) -> None:
        self.path, self.copy, self.clock = path, copy, clock
        self.began = self.summed = self.copied = clock()
        self.sums: dict[str, _Sum] = {}

    def __enter__(self) -> EventLog:
        if self.path is not None:
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if self.copy is not None and not self.path.exists() and self.copy.exists():
                    self.path.write_bytes(self.copy.read_bytes())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, and why the run stops if it does not finish."""
        self.flush()
        if error is not None:
            stopped = "run_failed" if isinstance(error, Exception) else "run_stopped"
            self.say(stopped, error=BY_A_PERSON if isinstance(error, KeyboardInterrupt) else one_line(error))
        if self._copy() and error is None and self.path is not None:
            self.path.unlink(missing_ok=True)

    def say(self, event: str, **fields: Any) -> None:
        """Write an event now."""
        now = self.clock()
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        self._append({"time": moment, "event": event, **fields})
        if now - self.copied >= COPY_S:
            self._copy()

    def region(
        self, stage: str, *, frame: int, region: int, seconds: float, worker: str, done: int, total: int, slots: int
    ) -> None:
        """Count a finished region; it is written with others of its stage."""
        found = self.sums.setdefault(stage, _Sum())
        found.regions += 1
        found.seconds += seconds
        found.workers.add(worker)
        found.state = {"done": done, "total": total, "slots": slots}
        if seconds >= found.slowest.get("seconds", 0.0):
            found.slowest = {"frame": frame, "region": region, "seconds": round(seconds, 3), "worker": worker}
        now = self.clock()
        if now - self.summed >= max(LINE_S, (now - self.began) / LINES):
            self.flush()

    def flush(self) -> None:
        """Write the sums."""
        sums, self.sums = self.sums, {}
        self.summed = self.clock()
        for stage, found in sums.items():
            self.say(
                "regions",
                stage=stage,
                **found.state,
                regions=found.regions,
                seconds=round(found.seconds, 3),
                workers=len(found.workers),
                slowest=found.slowest,
            )

    def _append(self, event: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def _copy(self) -> bool:
        """Send the event log to where the result is; returns whether it is there."""
        self.copied = self.clock()
        if self.copy is None or self.path is None:
            return False
        with suppress(Exception):  # the store may be what the run fails with
            self.copy.put(self.path)
            return True
        return False


def quiet() -> EventLog:
    """Return a log that writes nothing."""
    return EventLog(None)


def log_of(folder: Place, scratch: str) -> EventLog:
    """Event log of a run whose record lies in `folder` and whose working files lie in `scratch`."""
    if folder.remote:
        make_private(scratch)
        return EventLog(Path(f"{scratch}.{FILE}"), copy=folder / FILE)
    return EventLog((folder / FILE).path)


def read_events(folder: Place) -> list[dict[str, Any]]:
    """Events of all runs that wrote to an output, oldest first; a line that is cut short or damaged is left out."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and {"time", "event"} <= set(event):
                events.append(event)
    return events
