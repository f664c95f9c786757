"""The tasks: sum one region at a time on any free worker, and hand over a frame once all its regions are done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import MovieError, PlanError
from tlseg.geometry import Box, Grid, Shape, slab
from tlseg.measure.channels import AT_ONCE, GreySums, add_grey, sum_grey
from tlseg.measure.exact import most_grey
from tlseg.plan import sized
from tlseg.run.measuring.kept_sums import KeptSums, MeasureInput
from tlseg.run.tasks.flow import Flow, Task, Tasks
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.values import as_uint32
from tlseg.store.working.names import Stage

Done = Callable[[int, GreySums | None], None]

BLOCK_VOXELS = 2**22
"""Most voxels measured at once, unless one chunk has more; equals one shard of labels as a run writes them."""

_SLAB_BYTES = 150 * AT_ONCE
"""Memory for sums, in addition to the voxels of a block."""


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """What to measure; a small value that is sent to workers.

    Attributes
    ----------
    pixels : MeasureInput
        The label movie, and the channels.
    block : (z, y, x)
        Voxels of a region. Affects memory and speed, never values.
    """

    pixels: MeasureInput
    block: Shape

    @property
    def grid(self) -> Grid:
        """Regions of a frame."""
        return Grid(self.pixels.labels.frame_shape, self.block)


def block_for(labels: MovieSource, image: MovieSource, *, memory_bytes: int) -> Shape:
    """Return a region that fits into a worker's memory: whole shards of the labels if they fit, else whole chunks.

    Raises
    ------
    PlanError
        If not even one chunk fits.
    """
    voxel = (
        2 * (np.dtype(labels.dtype).itemsize + np.dtype(image.dtype).itemsize) + 2
    )  # decoded chunks and the cut-out block
    chunk = max(math.prod(labels.chunk_shape), math.prod(image.chunk_shape))
    if chunk * voxel + _SLAB_BYTES > memory_bytes:
        raise PlanError(
            f"Measuring one chunk of {chunk} voxels takes {sized(chunk * voxel + _SLAB_BYTES)}, but a worker may only use "
            f"{sized(memory_bytes)}. Give workers more (--memory-limit), or use fewer of them."
        )
    most = min(BLOCK_VOXELS, (memory_bytes - _SLAB_BYTES) // voxel)
    unit = labels.shard_shape if math.prod(labels.shard_shape) <= most else labels.chunk_shape
    return slab(labels.frame_shape, unit=unit, most=most)


def measure_region(job: MeasureJob, frame: int, region: int) -> GreySums | None:
    """Task: sums over one region of a frame; None if it has no labels."""
    box, of = job.grid[region], job.pixels
    labels = as_uint32(of.labels.read(frame, box), where=f"{of.labels.url}, frame {frame}")
    return sum_grey(labels, (_grey(channel, of.first + frame, box, labels) for channel in of.channels))


def measure_flows(job: MeasureJob, kept: KeptSums, frames: Iterable[int], done: Done) -> Iterator[Flow]:
    """Yield one flow per frame; the sums of each, None if it is empty, are kept, and `done` is called with them."""

    def measure_frame(frame: int) -> Flow:
        mark = job.pixels.mark(frame)
        parts = yield Tasks(
            range(len(job.grid)),
            lambda region: Task(Stage.MEASURE, frame, region, measure_region, (job, frame, region)),
        )
        found = [part for part in parts if part is not None]
        sums = add_grey(found) if found else None
        kept.put(frame, sums, mark=mark)
        done(frame, sums)

    return (measure_frame(frame) for frame in frames)


def _grey(channel: MovieSource, frame: int, box: Box, labels: NDArray[np.uint32]) -> NDArray[Any]:
    """Read the grey values of a box; raise `MovieError` if labelled ones are too large to be summed exactly."""
    values: NDArray[Any] = channel.read(frame, box)
    most = most_grey(values.dtype)
    if values.dtype.itemsize >= 8:
        bad = (labels > 0) & np.isfinite(values) & ((values > most) | (values < -most))
        if bad.any():
            raise MovieError(
                f"{channel.url}: in frame {frame}, label {labels[bad][0]} contains the grey value {values[bad][0]:g}. "
                f"Expected values from {-most:g} to {most:g}: replace it, or convert the image to float32."
            )
    return values
