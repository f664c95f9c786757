"""Remeasure what a patch changed: its nuclei, and what they share with the frames before and after."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from numpy.typing import NDArray

from tlseg.geometry import Box, Spacing, triple
from tlseg.label.patches import Patch
from tlseg.measure.patched import Replacement, measure_replacement

ReadFrame = Callable[[int, Box], NDArray[Any]]
"""Voxels (z, y, x) of a box of a frame."""


def remeasure(
    patch: Patch,
    frame: int,
    *,
    labels: ReadFrame,
    grey: ReadFrame,
    frames: Container[int],
    frame_box: Box,
    spacing_um: Spacing,
) -> Replacement:
    """Sums and overlaps of the nuclei of a patch.

    Parameters
    ----------
    patch, frame
        What was changed, and in which frame.
    labels, grey
        Labels with all patches laid over, of this frame and those beside it; the image of this one.
    frames, frame_box
        Frames of the movie, beyond which nothing is shared; all of a frame.
    """
    return measure_replacement(
        lambda box: labels(frame, box),
        lambda box: grey(frame, box),
        box=patch.box,
        labels=patch.labels,
        replaced=patch.replaced,
        frame=frame_box,
        spacing_um=spacing_um,
        read_before=(lambda box: labels(frame - 1, box)) if frame - 1 in frames else None,
        read_after=(lambda box: labels(frame + 1, box)) if frame + 1 in frames else None,
    )


def box_around(low: NDArray[Any], high: NDArray[Any]) -> Box:
    """Box of objects, from their first and last voxels (n, 3)."""
    return Box(triple(low.min(axis=0).tolist()), triple((high.max(axis=0) + 1).tolist()))
