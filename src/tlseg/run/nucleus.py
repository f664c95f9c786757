"""How wide do nuclei of a movie look? Asked of one frame, once, before networks run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from tlseg.predict.normalise import FrameStatistics
from tlseg.predict.nucleus_size import seen_nucleus_um
from tlseg.run.context import RunContext
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import LostWorkError


class SeenNucleus(NamedTuple):
    """Width of the nuclei of a frame, micrometres, or None if that cannot be told; and the frame."""

    width_um: float | None
    frame: int


def seen_nucleus(run: RunContext, statistics: Mapping[int, FrameStatistics]) -> SeenNucleus:
    """Look at the frame in the middle of the movie, or remember what was seen there."""
    frames = [frame for frame in run.frames if frame not in run.skip]
    frame = frames[len(frames) // 2]
    if run.scratch.done(Table.NUCLEUS, frame):
        with suppress(LostWorkError):  # what is damaged is found again
            width = float(run.scratch.get(Table.NUCLEUS, frame, 0)["width_um"])
            return SeenNucleus(None if math.isnan(width) else width, frame)
    found = _look(run, frame, statistics[frame])
    run.scratch.put(Table.NUCLEUS, frame, 0, width_um=np.array(math.nan if found is None else found))
    return SeenNucleus(found, frame)


def _look(run: RunContext, frame: int, statistics: FrameStatistics) -> float | None:
    if statistics.scaling == "extremes":
        return None
    source = run.source
    return seen_nucleus_um(
        lambda box: source.read(frame, box),
        shape=source.frame_shape,
        spacing_um=source.spacing_um,
        statistics=statistics,
        chunk=source.chunk_shape,
    )
