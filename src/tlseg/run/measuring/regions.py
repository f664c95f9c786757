"""The work: sums of a region at a time, by whoever has a core to spare, and rows of a frame when its regions are done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import MovieError, PlanError
from tlseg.geometry import Box, Grid, Shape, slab
from tlseg.measure.channels import AT_ONCE, GreySums, add_grey, sum_grey
from tlseg.measure.exact import most_grey
from tlseg.run.linking.source import as_uint32
from tlseg.run.tasks.flow import Flow, Task, Tasks
from tlseg.store.image.movie import MovieSource
from tlseg.store.working.names import Stage

BLOCK_VOXELS = 2**22
"""Most voxels measured at once, unless one chunk has more: a shard of labels as a run writes them."""

_SLAB_BYTES = 150 * AT_ONCE
"""What sums take beside the voxels of a block."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured; a small value that travels to workers.

    Attributes
    ----------
    labels : MovieSource
        The label movie.
    channels : tuple of MovieSource
        Channels of one image with the same voxels.
    first : int
        Frame of the image that is the labels' first one.
    block : (z, y, x)
        Voxels of a region. Decides memory and speed, never a number.
    """

    labels: MovieSource
    channels: tuple[MovieSource, ...]
    first: int
    block: Shape

    @property
    def grid(self) -> Grid:
        """Regions of a frame."""
        return Grid(self.labels.frame_shape, self.block)


def block_for(labels: MovieSource, image: MovieSource, *, memory_bytes: int) -> Shape:
    """Region that a worker can hold: whole shards of the labels where they fit, else whole chunks.

    Raises
    ------
    PlanError
        If not even one chunk fits.
    """
    voxel = 2 * (np.dtype(labels.dtype).itemsize + np.dtype(image.dtype).itemsize) + 2  # as decoded and as cut out
    chunk = max(math.prod(labels.chunk_shape), math.prod(image.chunk_shape))
    if chunk * voxel + _SLAB_BYTES > memory_bytes:
        raise PlanError(
            f"To measure one chunk of {chunk} voxels takes {_mib(chunk * voxel + _SLAB_BYTES)}, and a worker may use "
            f"{_mib(memory_bytes)}. Give it more (--memory-limit), or use fewer workers."
        )
    most = min(BLOCK_VOXELS, (memory_bytes - _SLAB_BYTES) // voxel)
    unit = labels.shard_shape if math.prod(labels.shard_shape) <= most else labels.chunk_shape
    return slab(labels.frame_shape, unit=unit, most=most)


def measure_region(job: Measuring, frame: int, region: int) -> GreySums | None:
    """Task: sums of one region of a frame of the labels; None where it has no labels."""
    box = job.grid.core(job.grid.position(region))
    labels = as_uint32(job.labels.read(frame, box), where=f"{job.labels.url}, frame {frame}")
    return sum_grey(labels, (_grey(channel, job.first + frame, box, labels) for channel in job.channels))


def measuring(job: Measuring, frames: range, done: Callable[[int, GreySums | None], None]) -> Iterator[Flow]:
    """Flows that measure frames of the labels, one each; `done` is told the sums of each frame, None of an empty one."""

    def measure_frame(frame: int) -> Flow:
        parts = yield Tasks(
            range(len(job.grid)),
            lambda region: Task(Stage.MEASURE, frame, region, measure_region, (job, frame, region)),
        )
        found = [part for part in parts if part is not None]
        done(frame, add_grey(found) if found else None)

    return (measure_frame(frame) for frame in frames)


def _grey(channel: MovieSource, frame: int, box: Box, labels: NDArray[np.uint32]) -> NDArray[Any]:
    """Grey values of a box, whose labels hold none that cannot be added."""
    values: NDArray[Any] = channel.read(frame, box)
    most = most_grey(values.dtype)
    if values.dtype.itemsize >= 8:
        bad = (labels > 0) & np.isfinite(values) & ((values > most) | (values < -most))
        if bad.any():
            raise MovieError(
                f"{channel.url}: in frame {frame}, label {labels[bad][0]} holds the grey value {values[bad][0]:g}. Expected "
                f"numbers from {-most:g} to {most:g}: replace it, or convert the image to float32."
            )
    return values


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
