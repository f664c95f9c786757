"""The tasks that measure a label movie and write it under its tracks: any worker can do them, in any order.

A label movie is opened by whoever reads it, since open files do not travel; what travels is how to open it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import RunError
from tlseg.geometry import Box, Grid, Spacing
from tlseg.label.patches import Patch
from tlseg.measure.objects import ObjectSums, add_overlaps, add_sums
from tlseg.run.linking.output import Tracked
from tlseg.run.linking.repair import read_mended
from tlseg.run.linking.source import LabelInput, open_labels
from tlseg.run.linking.tables import FrameSums, measure_core
from tlseg.run.tasks.flow import Flow, Task, Tasks
from tlseg.store.image.image_writer import ImageCopy
from tlseg.store.image.pyramid import slabs
from tlseg.store.labels.label_writer import LabelWriter
from tlseg.store.labels.values import renumber
from tlseg.store.working.names import Stage

SLAB_VOXELS = 2**25
"""Most voxels of labels in memory while they are written, unless one region has more."""

_OPEN: dict[str, LabelInput] = {}
"""The label movie that tasks of this process read, by the run they belong to: one at a time."""


@dataclass(frozen=True, slots=True)
class LabelAddress:
    """How to open a label movie; `run` is different for every run, since files may change between two.

    The other attributes are arguments of `open_labels`.
    """

    run: str
    labels: str | Path
    name: str | None
    prefer: tuple[str, ...]
    axes: str | None
    spacing_um: Spacing | tuple[float, ...] | None
    interval_s: float | None
    channel: int | str | None

    def open(self) -> LabelInput:
        """The label movie; opened once in a process."""
        found = _OPEN.get(self.run)
        if found is None:
            found = open_labels(
                self.labels,
                name=self.name,
                prefer=self.prefer,
                axes=self.axes,
                spacing_um=self.spacing_um,
                interval_s=self.interval_s,
                channel=self.channel,
            )
            _OPEN.clear()
            _OPEN[self.run] = found
        return found


def close_labels() -> None:
    """Forget the label movie that is open in this process."""
    _OPEN.clear()


def measure(
    address: LabelAddress, frame: int, core: Box, following: int | None
) -> tuple[ObjectSums, NDArray[np.int64]]:
    """Task: measure a block."""
    return measure_core(address.open(), frame, core, following=following)


def write(
    address: LabelAddress,
    writer: LabelWriter,
    copy: ImageCopy | None,
    frame: int,
    box: Box,
    old: NDArray[np.int64],
    new: NDArray[np.uint32],
    patches: list[Patch],
) -> None:
    """Task: write a box of whole regions at every level, `old` numbers replaced by `new` ones, and the copy of the image."""
    if len(old):
        labels = read_mended(address.open(), frame, box, {frame: patches})
        writer.write(frame, box, renumber(labels, old=old, new=new, unknown=_changed))
    if copy is not None:
        copy.write(frame, box)


def measuring(
    address: LabelAddress, frames: Iterable[int], blocks: Grid, *, with_overlaps: bool, found: dict[int, FrameSums]
) -> Iterator[Flow]:
    """Flows that measure frames, and what each shares with the next if wanted; sums are put into `found`."""
    known = frozenset(frames)

    def measure_frame(frame: int) -> Flow:
        following = frame + 1 if with_overlaps and frame + 1 in known else None
        parts = yield Tasks(
            range(len(blocks)),
            lambda number: Task(Stage.MEASURE, frame, number, measure, (address, frame, blocks[number], following)),
        )
        sums, shared = zip(*parts, strict=True)
        found[frame] = FrameSums(frame, add_sums(list(sums)), add_overlaps(list(shared)))

    return (measure_frame(frame) for frame in sorted(known))


def boxes_to_write(writer: LabelWriter) -> Grid:
    """Boxes of whole regions, each for one task."""
    return slabs(writer.regions, most_voxels=SLAB_VOXELS)


def writing(
    address: LabelAddress, writer: LabelWriter, copy: ImageCopy | None, frames: Iterable[int], tracked: Tracked
) -> Iterator[Flow]:
    """Flows that write frames of labels, numbered by track and without those removed, and the copy of the image."""
    boxes = boxes_to_write(writer)

    def write_frame(frame: int) -> Flow:
        old, new = tracked.numbers(frame)
        patches = tracked.patches.get(frame, [])
        yield Tasks(
            range(len(boxes)),
            lambda number: Task(
                Stage.WRITE, frame, number, write, (address, writer, copy, frame, boxes[number], old, new, patches)
            ),
        )

    return (write_frame(frame) for frame in frames)


def _changed(_: int) -> RunError:
    return RunError("The labels changed while they were being read. Start again when nothing writes to them.")
