"""The work of all frames up to measured, provisional labels, as flows that overlap.

Frames small enough go through the networks together. A frame is measured when it and the next are labelled, since their
overlap is counted in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tlseg.predict.normalise import FrameStatistics
from tlseg.run import stages
from tlseg.run.components import label_components
from tlseg.run.context import RunContext
from tlseg.run.tasks.flow import Flow, Step, Task, Tasks
from tlseg.store.working.names import Stage, Table, predicted
from tlseg.store.working.unfinished import describe


@dataclass(slots=True)
class FrameFlows:
    """Hands out flows: groups of frames to label, in order, and frames to measure as soon as they can be."""

    run: RunContext
    statistics: dict[int, FrameStatistics]
    keep_maps: bool
    labelled: set[int] = field(default_factory=set)
    unmeasured: set[int] = field(default_factory=set)
    groups: Iterator[range] = field(init=False)

    def __post_init__(self) -> None:
        frames, size = self.run.frames, frames_per_group(self.run)
        self.groups = (frames[i : i + size] for i in range(0, len(frames), size))

    def next_flow(self) -> Flow | None:
        """Return the most urgent flow that can start, None if none can."""
        for frame in sorted(self.unmeasured):
            following = frame + 1
            if following not in self.run.frames or following in self.labelled:
                self.unmeasured.remove(frame)
                return self._measure(frame)
        group = next(self.groups, None)
        return None if group is None else self._label(group)

    def _label(self, group: range) -> Flow:
        run, scratch = self.run, self.run.scratch
        blocks = range(len(run.grid))
        for frame in group:
            if not any(scratch.done(table, frame) for table in (*map(predicted, run.roles), Table.DETECT)):
                # What was lost of a frame that is done again must not be read again to be written over.
                for array in (*run.roles, "maps", "labels"):
                    scratch.drop(array, run.row(frame))
        if any(len(scratch.done(Table.DETECT, frame)) < len(blocks) for frame in group):
            yield self._predict(group)
        yield self._blocks(Stage.DETECT, stages.detect, group)
        for frame in group:
            for role in run.roles:
                scratch.drop(role, run.row(frame))
        if run.settings.method == "components":
            yield [
                Task(Stage.FLOOD, frame, 0, label_components, (run, frame), weight=len(blocks))
                for frame in group
                if not scratch.done(Table.COMPONENTS, frame)
            ]
        else:
            yield [
                Task(Stage.NUMBER, frame, 0, stages.number, (run, frame))
                for frame in group
                if not scratch.done(Table.NUMBERS, frame)
            ]
            yield self._blocks(Stage.FLOOD, stages.flood, group)
        if not self.keep_maps:
            for frame in group:
                scratch.drop("maps", run.row(frame))
        self.labelled.update(group)
        self.unmeasured.update(group)

    def _predict(self, group: range) -> Step:
        run = self.run
        size = run.windows_per_task
        step: list[Task] = []
        for role in run.roles:
            done = {frame: run.scratch.done(predicted(role), frame) for frame in group}
            windows = range(len(run.lattice(role)))
            units = [(frame, window) for frame in group for window in windows if window not in done[frame]]
            for start in range(0, len(units), size):
                part = tuple(units[start : start + size])
                statistics = {frame: self.statistics[frame] for frame, _ in part}
                arguments = (run, role, part, statistics)
                step.append(Task(Stage.PREDICT, *part[0], stages.predict, arguments, weight=len(part), needs="network"))
        return step

    def _measure(self, frame: int) -> Flow:
        yield self._blocks(Stage.MEASURE, stages.measure, range(frame, frame + 1))
        if not self.run.scratch.done(Table.OBJECTS, frame):
            yield [Task(Stage.SUMMARISE, frame, 0, stages.summarise, (self.run, frame))]

    def _blocks(self, stage: Stage, function: Callable[..., Any], group: range) -> Step:
        """One task for every block of these frames that is not done."""
        run, blocks = self.run, len(self.run.grid)

        def make(place: int) -> Task:
            frame, block = group[place // blocks], place % blocks
            return Task(stage, frame, block, function, (run, frame, block))

        done = {i * blocks + block for i, frame in enumerate(group) for block in run.scratch.done(Table(stage), frame)}
        places = range(len(group) * blocks)
        return Tasks([place for place in places if place not in done] if done else places, make)


def create_arrays(run: RunContext) -> None:
    """Make the working arrays, once; each is written in whole shards by one task."""
    if run.scratch.done(Table.ARRAYS, 0):
        return
    frames, shape = len(run.frames), run.source.frame_shape
    inner = tuple(next(c for c in (64, 48, 32, 16) if b % c == 0) for b in run.block)
    for role in run.roles:
        lattice = run.lattice(role)
        window = (1, 1, *lattice.shape)
        run.scratch.create(
            role, shape=(frames, len(lattice), *lattice.shape), dtype="uint8", shards=window, chunks=window
        )
    n = len(run.roles)
    run.scratch.create(
        "maps", shape=(frames, n, *shape), dtype="uint8", shards=(1, n, *run.block), chunks=(1, 1, *inner)
    )
    run.scratch.create(
        "labels", shape=(frames, *shape), dtype="uint32", shards=(1, *run.block), chunks=(1, *inner), axes="tzyx"
    )
    describe(run.scratch, run.source, run.frames)
    run.scratch.put(Table.ARRAYS, 0, 0)


def forget_unmeasurable(run: RunContext) -> None:
    """Label frames again whose labels are gone and are still needed to measure the frame before them."""
    labelled_by = Table.COMPONENTS if run.settings.method == "components" else Table.FLOOD
    for frame in run.frames[:-1]:
        if (
            not run.scratch.done(Table.OBJECTS, frame)
            and run.scratch.done(labelled_by, frame + 1)
            and not run.scratch.holds("labels", run.row(frame + 1))
        ):
            run.scratch.forget(frame + 1)


def frames_per_group(run: RunContext) -> int:
    """Frames that go through the networks together: as many as fill a batch."""
    most = max(len(run.lattice(role)) for role in run.roles)
    return max(1, run.windows_together // most)
