"""Detections and numbers of a frame, to and from the tables of the scratch store."""

from __future__ import annotations

import numpy as np

from tlseg.label.block import BlockNumbers, Detection, FrameNumbers
from tlseg.label.components import BlockComponents
from tlseg.label.seeds import Candidates
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import Scratch

FORMAT = 5
"""Version of these tables: a run that began with another one is another run."""


def save_detection(scratch: Scratch, frame: int, block: int, found: Detection) -> None:
    """Store what a block found."""
    parts = found.components
    faces = {f"low_{axis}": parts.low[axis] for axis in range(3)} | {
        f"high_{axis}": parts.high[axis] for axis in range(3)
    }
    scratch.put(
        Table.DETECT,
        frame,
        block,
        position=found.candidates.position,
        height=found.candidates.height,
        joined=found.candidates.joined,
        level=found.candidates.level,
        terraces=found.candidates.terraces,
        component=found.component,
        voxels=parts.voxels,
        first=parts.first,
        **faces,
    )


def load_detection(scratch: Scratch, frame: int, block: int) -> Detection:
    """Inverse of `save_detection`."""
    stored = scratch.get(Table.DETECT, frame, block)
    components = BlockComponents(
        voxels=stored["voxels"],
        first=stored["first"],
        low=(stored["low_0"], stored["low_1"], stored["low_2"]),
        high=(stored["high_0"], stored["high_1"], stored["high_2"]),
    )
    candidates = Candidates(**{name: stored[name] for name in ("position", "height", "joined", "level", "terraces")})
    return Detection(candidates, stored["component"], components)


def save_numbers(scratch: Scratch, frame: int, numbers: FrameNumbers) -> None:
    """Store the names of a frame's instances; components of all blocks end to end."""
    counts = [len(f) for f in numbers.fallback]
    scratch.put(
        Table.NUMBERS,
        frame,
        0,
        seeds=numbers.seeds,
        labels=numbers.labels,
        fallback=np.concatenate([np.zeros(0, np.int64), *numbers.fallback]),
        seedless=np.concatenate([np.zeros(0, bool), *numbers.seedless]),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        total=np.array(numbers.total),
        fallback_labels=numbers.fallback_labels,
    )


def load_numbers(scratch: Scratch, frame: int, block: int) -> BlockNumbers:
    """Read what `label_block` needs of a frame's names for one block."""
    stored = scratch.get(Table.NUMBERS, frame, 0)
    own = slice(*stored["offsets"][block : block + 2])
    return BlockNumbers(stored["seeds"], stored["labels"], stored["fallback"][own], stored["seedless"][own])
