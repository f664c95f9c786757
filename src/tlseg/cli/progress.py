"""Progress a person can read: a live bar on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from tlseg.run.events import Event
    from tlseg.train.loop import Progress as TrainingProgress

SECONDS_BETWEEN_LINES = 10.0


def live_progress() -> Progress:
    """Bars with counts, elapsed time and time left, on standard error."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class RunProgress:
    """Stages of a run: a bar for each on a terminal; elsewhere a line when a stage is done and every ten seconds."""

    def __init__(self) -> None:
        self.live = live_progress() if sys.stderr.isatty() else None
        self.bars: dict[str, TaskID] = {}
        self.started: dict[str, float] = {}
        self.spoken = time.monotonic()

    def __enter__(self) -> RunProgress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        now = time.monotonic()
        if event.done == 0:
            self.started[event.stage] = now
        rate = event.done / max(1e-9, now - self.started.get(event.stage, now))
        if self.live:
            if event.stage not in self.bars:
                self.bars[event.stage] = self.live.add_task(event.stage, total=event.total, note="")
            self.live.update(self.bars[event.stage], completed=event.done, note=f"{rate:.1f}/s")
            return
        finished = event.done == event.total and event.done > 0
        if finished or now - self.spoken >= SECONDS_BETWEEN_LINES:
            left = (event.total - event.done) / max(1e-9, rate)
            tail = "" if finished else f", {left:.0f} s left"
            click.echo(f"{event.stage}: {event.done}/{event.total} {rate:.1f}/s{tail}", err=True)
            self.spoken = now


class StepProgress:
    """One counted job."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.live = live_progress() if sys.stderr.isatty() else None
        self.task = self.live.add_task(what, total=total, note="") if self.live else None
        self.started = self.spoken = time.monotonic()
        self.first: int | None = None

    def __enter__(self) -> StepProgress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.live.stop()

    def update(self, done: int, note: str, *, speak: bool = False) -> None:
        """Show that `done` of the total are done; on no terminal say so every ten seconds, or at once to `speak`."""
        if self.live and self.task is not None:
            self.live.update(self.task, completed=done, note=note)
            return
        now = time.monotonic()
        if self.first is None:
            self.first = done - 1
        if speak or now - self.spoken >= SECONDS_BETWEEN_LINES or done == self.total:
            rate = (done - self.first) / max(1e-9, now - self.started)
            left = (self.total - done) / max(1e-9, rate)
            click.echo(f"{self.what}: {done}/{self.total} {note} {rate:.2f}/s, {left:.0f} s left", err=True)
            self.spoken = now

    def training(self, progress: TrainingProgress) -> None:
        """Report of a training step."""
        note = f"loss {progress.loss:.4f}"
        if progress.best is not None:
            note += f", best {progress.best:.4f}"
        if progress.skipped:
            note += f", {progress.skipped} steps skipped"
        if progress.score is not None:
            note += f", validation {progress.score:.4f}"
        self.update(progress.step, note, speak=progress.score is not None)
