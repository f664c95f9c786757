"""Repair given labels where their tracks contradict them; the given labels themselves are only read.

Nuclei cut in two are joined and nuclei merged into one are separated. What is missing stays missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.geometry import Box
from tlseg.label.patches import Patch, lay_over, make_patch
from tlseg.link.repair import Repair, find_repairs
from tlseg.link.settings import LinkSettings
from tlseg.measure.patched import Replacement, mend_objects, mend_overlaps
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, tables_to_link
from tlseg.run.remeasure import box_around, remeasure

Patches = Mapping[int, list[Patch]]
"""Patches of each frame that has any."""


def check_repairable(source: LabelInput) -> None:
    """Raise `LabelError` for frames of one plane: volumes are areas there, and a nucleus below another is not seen."""
    if source.base.frame_shape[0] == 1:
        raise LabelError("Only 3D labels can be repaired; these are 2D. Omit --repair.")


def repair_given(
    source: LabelInput, frames: list[FrameSums], *, settings: LinkSettings
) -> tuple[list[FrameSums], dict[int, list[Patch]]]:
    """Sums of all frames after repair, and the patches that repair the labels."""
    sums = {part.frame: part for part in frames}
    patches: dict[int, list[Patch]] = {}
    for repair in find_repairs(*tables_to_link(source, frames), settings=settings):
        done = patches.get(repair.frame, [])
        patch = _patch(source, sums[repair.frame], repair, done)
        if patch is not None:
            patches[repair.frame] = [*done, patch]
    return mended_sums(source, frames, patches), patches


def mended_sums(source: LabelInput, frames: list[FrameSums], patches: Patches) -> list[FrameSums]:
    """Sums of all frames with patches laid over their labels."""
    found = {frame: [_measured(source, frame, patch, patches) for patch in made] for frame, made in patches.items()}
    return [_mended(part, found) for part in frames]


def read_mended(source: LabelInput, frame: int, box: Box, patches: Patches) -> NDArray[np.uint32]:
    """Labels (z, y, x) of a box, patches laid over."""
    labels = source.labels(frame, box)
    if frame in patches:
        lay_over(labels, box, patches[frame])
    return labels


def free_labels(sums: FrameSums, done: list[Patch], *, count: int) -> NDArray[np.int64]:
    """Labels that a frame and its patches do not have; the smallest, since given ones may be the largest there are."""
    used = np.concatenate([sums.objects.label, *(patch.labels for patch in done)])
    return np.setdiff1d(np.arange(1, len(used) + count + 1), used)[:count]


def _patch(source: LabelInput, sums: FrameSums, repair: Repair, done: list[Patch]) -> Patch | None:
    objects = sums.objects
    replaced = np.array(repair.labels, dtype=np.int64)
    rows = np.isin(objects.label, replaced)
    box = box_around(objects.low[rows], objects.high[rows])
    free = free_labels(sums, done, count=len(repair.volume_um3) - 1)
    return make_patch(
        source.labels(sums.frame, box),
        box=box,
        replaced=replaced,
        numbers=np.concatenate([replaced[:1], free]),
        centres_um=repair.position_um - np.array(source.base.translation_um),
        volumes_um3=repair.volume_um3,
        spacing_um=source.base.spacing_um,
    )


def _measured(source: LabelInput, frame: int, patch: Patch, patches: Patches) -> Replacement:
    def labels(t: int, box: Box) -> NDArray[np.uint32]:
        return read_mended(source, t, box, patches)

    return remeasure(
        patch,
        frame,
        labels=labels,
        grey=lambda t, box: source.grey(t, box, labels=labels(t, box)),
        frames=source.movie.frames,
        frame_box=Box.of_shape(source.base.frame_shape),
        spacing_um=source.base.spacing_um,
    )


def _mended(part: FrameSums, found: Mapping[int, list[Replacement]]) -> FrameSums:
    here, following = found.get(part.frame, []), found.get(part.frame + 1, [])
    if not here and not following:
        return part
    objects = mend_objects(part.objects, here) if here else part.objects
    return replace(part, objects=objects, shared=mend_overlaps(part.shared, here, following))
