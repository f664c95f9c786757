"""Everything a task of a run needs to know, as one small value that travels to workers."""

from __future__ import annotations

from dataclasses import dataclass

from tlseg.config import LabelSettings
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.models.bundle import ModelSpec, Role
from tlseg.predict.device import TorchDevice
from tlseg.predict.lattice import Lattice
from tlseg.predict.maps import lattice_for
from tlseg.store.image.image_writer import ImageCopy
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.label_writer import LabelWriter
from tlseg.store.working.scratch import Scratch

WINDOWS_PER_TASK_CPU = 4
"""Least windows in a task on a CPU."""

BATCHES_PER_TASK, WINDOWS_PER_TASK_GPU = 4, 32
"""Most batches in a task on a GPU, so that what is not dark of them fills a batch, and the windows up to which it has more
than one."""


def network_roles(settings: LabelSettings) -> tuple[Role, ...]:
    """Networks that a method needs."""
    return ("nsn",) if settings.method == "components" else ("nsn", "ndn")


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run.

    Parameters
    ----------
    source, frames, skip
        The movie, which of its frames, and which of these hold nothing: no network sees them.
    scratch
        Working files: arrays and tables that tasks read and write.
    model_folder, model_digest, spec
        Weights, their digest, and the model's description.
    settings
        How maps become labels.
    block
        Core of a block in voxels (z, y, x).
    device
        Where networks run.
    threads
        Windows a task computes at once on a CPU; affects speed, never labels.
    most_voxels
        Largest crop a block may grow to, limited by memory.
    """

    source: MovieSource
    frames: range
    scratch: Scratch
    model_folder: str
    model_digest: str
    spec: ModelSpec
    settings: LabelSettings
    block: Shape
    device: TorchDevice
    threads: int
    most_voxels: int | None
    skip: frozenset[int] = frozenset()

    @property
    def grid(self) -> Grid:
        """Blocks of a frame."""
        return Grid(self.source.frame_shape, self.block)

    @property
    def frame_box(self) -> Box:
        """A whole frame."""
        return Box.of_shape(self.source.frame_shape)

    @property
    def spacing_um(self) -> Spacing:
        """Voxel spacing of the movie."""
        return self.source.spacing_um

    @property
    def roles(self) -> tuple[Role, ...]:
        """Networks this run needs."""
        return network_roles(self.settings)

    def lattice(self, role: Role) -> Lattice:
        """Windows of one network over a frame."""
        return lattice_for(self.spec, role, shape=self.source.frame_shape, spacing_um=self.spacing_um)

    @property
    def first_seen(self) -> int:
        """First frame that is not skipped: tracks that begin here do not lack a mother."""
        return min(frame for frame in self.frames if frame not in self.skip)

    @property
    def windows_per_task(self) -> int:
        """Windows in a task: a few batches for a GPU, or on a CPU a few for each core it may use."""
        if self.device == "cuda":
            batches = WINDOWS_PER_TASK_GPU // self.spec.batch if self.spec.dark_threshold else 1
            return self.spec.batch * max(1, min(BATCHES_PER_TASK, batches))
        return max(WINDOWS_PER_TASK_CPU, self.threads)

    @property
    def windows_together(self) -> int:
        """Windows that should be there before networks run: what fills a batch of a GPU, or all cores."""
        return self.spec.batch if self.device == "cuda" else self.windows_per_task

    def row(self, frame: int) -> int:
        """Row of a frame in scratch arrays."""
        return frame - self.frames.start


@dataclass(frozen=True, slots=True)
class Output:
    """Where final labels go, and the copy of the image where the output is another store."""

    labels: LabelWriter
    image: ImageCopy | None
