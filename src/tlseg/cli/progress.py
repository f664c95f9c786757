"""Progress for people to read: a live bar on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tlseg.wording import how_many

if TYPE_CHECKING:
    from tlseg.run.watch.events import Event, Notice
    from tlseg.train.loop import Progress as TrainingProgress

SECONDS_BETWEEN_LINES = 10.0


def live_progress(left: ProgressColumn | None = None) -> Progress:
    """Bars with counts, elapsed time and time left (from its own clock, if not given), on standard error."""
    return Progress(
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        left or TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def in_words(seconds: float | None) -> str:
    """Duration that a person reads at a glance."""
    if seconds is None:
        return "unknown time"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def per_second(rate: float, what: str = "") -> str:
    """Rate that a person reads at a glance, such as `3.1 M voxels/s`."""
    size, letter = next(((s, x) for s, x in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if rate >= s), (1.0, ""))
    unit = " ".join(filter(None, (letter, what)))
    return f"{rate / size:.1f}{' ' if unit else ''}{unit}/s"


class RunProgress:
    """Stages of a run: a bar for each on a terminal; elsewhere a line when a stage is done and every ten seconds.

    Rates count only what this start of the run has done; a stage that waits for another has none. One time left, for all
    running stages, is shown beside the first of them.
    """

    def __init__(self) -> None:
        self.live = live_progress(TextColumn("{task.fields[left]}")) if sys.stderr.isatty() else None
        self.bars: dict[str, TaskID] = {}
        self.started: dict[str, tuple[float, int]] = {}
        self.spoken = time.monotonic()

    def __enter__(self) -> RunProgress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: Event | Notice) -> None:
        """Show an event."""
        from tlseg.run.watch.events import Notice

        if isinstance(event, Notice):
            say = partial(self.live.console.print, markup=False) if self.live else partial(click.echo, err=True)
            say(event.text)
        else:
            self._show(event)

    def _show(self, event: Event) -> None:
        now = time.monotonic()
        first = event.stage not in self.started
        began, before = self.started.setdefault(event.stage, (now, event.done))
        note = _note(event, (event.done - before) / max(1e-9, now - began))
        left = "" if event.seconds_left is None else f"{in_words(event.seconds_left)} left"
        if self.live:
            self._draw(event, note, left)
            return
        finished = event.done == event.total and not first
        if finished or (not first and now - self.spoken >= SECONDS_BETWEEN_LINES):
            counts = " ".join(filter(None, (f"{event.stage}: {event.done}/{event.total}", note)))
            click.echo(f"{counts}, {left}" if left and not finished else counts, err=True)
            self.spoken = now

    def _draw(self, event: Event, note: str, left: str) -> None:
        if self.live is None:
            return
        if event.stage not in self.bars:
            self.bars[event.stage] = self.live.add_task(event.stage, total=event.total, note="", left="")
        self.live.update(self.bars[event.stage], completed=event.done, note=note)
        leading = next((bar.id for bar in self.live.tasks if not bar.finished), None)
        for bar in self.bars.values():
            self.live.update(bar, left=left if bar == leading else "")


@contextmanager
def counted(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows (done, total) of one job, as a run shows a stage."""
    from tlseg.run.watch.events import Counters

    with RunProgress() as shown:
        counters = Counters(shown)

        def tell(done: int, total: int) -> None:
            if stage in counters.stages:
                counters.add(stage, done - counters.stages[stage].done)
            else:
                counters.expect(stage, total, done=done)

        yield tell


def _note(event: Event, rate: float) -> str:
    """Speed of a stage, in voxels where its units stand for some, and how busy its workers are."""
    if event.waits:
        return ""
    voxels = event.voxels / event.total if event.total else 0
    speed = per_second(rate * voxels, "voxels") if voxels else per_second(rate)
    return speed if event.busy is None else f"{speed}, busy {100 * event.busy:.0f} %"


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
            click.echo(f"{self.what}: {done}/{self.total} {note}, {rate:.2f}/s, {in_words(left)} left", err=True)
            self.spoken = now

    def training(self, progress: TrainingProgress) -> None:
        """Report of a training step."""
        note = f"loss {progress.loss:.4f}"
        if progress.best is not None:
            note += f", best {progress.best:.4f}"
        if progress.skipped:
            note += f", {how_many(progress.skipped, 'step')} skipped"
        if progress.score is not None:
            note += f", validation {progress.score:.4f}"
        self.update(progress.step, note, speak=progress.score is not None)
