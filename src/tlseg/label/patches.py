"""Corrections to the labels of a frame, stored beside them: a few boxes of voxels that get other numbers.

Certified labels stay unchanged; readers apply the patches over them. A patch covers a whole nucleus and is computed at once,
so it does not depend on how the frame was cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box, Spacing, triple
from tlseg.label.reseed import take_apart


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """New numbers for some voxels of a frame.

    Parameters
    ----------
    box
        Where.
    parts
        uint8 (z, y, x) of the box: 1 to k where voxels get the number of that part, 0 where they keep theirs.
    labels
        Numbers of the parts, shape (k,).
    replaced
        Numbers that these voxels had, of which none is left elsewhere.
    """

    box: Box
    parts: NDArray[np.uint8]
    labels: NDArray[np.int64]
    replaced: NDArray[np.int64]


def make_patch(
    labels: NDArray[np.uint32],
    *,
    box: Box,
    replaced: NDArray[np.int64],
    numbers: NDArray[np.int64],
    centres_um: NDArray[np.float64],
    volumes_um3: NDArray[np.float64] | None,
    spacing_um: Spacing,
) -> Patch | None:
    """Join labels to one, or take one apart.

    Parameters
    ----------
    labels
        Labels (z, y, x) of the box, which holds all of `replaced`.
    replaced, numbers
        Numbers to be replaced, and those of the nuclei that are there instead.
    centres_um, volumes_um3
        Where these should be, from voxel 0 of the frame, shape (k, 3), and how large, shape (k,), or None if unknown.

    Returns
    -------
    Patch or None
        None if the voxels contradict the expected repair: then they stay as they are.
    """
    mask = np.isin(labels, replaced)
    if len(numbers) == 1:
        return Patch(box, mask.astype(np.uint8), numbers, replaced)
    local = centres_um - np.array(box.start) * np.array(spacing_um)
    parts = take_apart(mask, local, volumes_um3, spacing_um=spacing_um)
    return None if parts is None else Patch(box, parts, numbers, replaced)


def lay_over(labels: NDArray[np.uint32], box: Box, patches: Iterable[Patch]) -> None:
    """Give the voxels of a box (z, y, x) of a frame their new numbers, in place."""
    for patch in patches:
        both = box.intersect(patch.box)
        if not both.size:
            continue
        here = labels[both.inside(box).slices]
        parts = patch.parts[both.inside(patch.box).slices]
        here[parts > 0] = patch.labels[parts[parts > 0].astype(np.int64) - 1]


def repairs_by_kind(patches: Iterable[Patch]) -> dict[str, int]:
    """How many labels that held several nuclei were taken apart (`merged`), and nuclei in pieces joined (`cut`)."""
    counts = {"merged": 0, "cut": 0}
    for patch in patches:
        counts["cut" if len(patch.labels) == 1 else "merged"] += 1
    return counts


def pack(patches: list[Patch]) -> dict[str, NDArray[Any]]:
    """Arrays that hold patches, end to end."""
    return {
        "boxes": np.array([[*p.box.start, *p.box.stop] for p in patches], dtype=np.int64).reshape(-1, 6),
        "parts": np.concatenate([np.zeros(0, np.uint8), *(p.parts.ravel() for p in patches)]),
        "labels": np.concatenate([np.zeros(0, np.int64), *(p.labels for p in patches)]),
        "label_counts": np.array([len(p.labels) for p in patches], dtype=np.int64),
        "replaced": np.concatenate([np.zeros(0, np.int64), *(p.replaced for p in patches)]),
        "replaced_counts": np.array([len(p.replaced) for p in patches], dtype=np.int64),
    }


def unpack(stored: dict[str, NDArray[Any]]) -> list[Patch]:
    """Inverse of `pack`."""
    boxes = [Box(triple(ends[:3]), triple(ends[3:])) for ends in stored["boxes"].tolist()]
    parts = _cut(stored["parts"], np.array([box.size for box in boxes], dtype=np.int64))
    labels = _cut(stored["labels"], stored["label_counts"])
    replaced = _cut(stored["replaced"], stored["replaced_counts"])
    return [
        Patch(box, part.reshape(box.shape), label, old)
        for box, part, label, old in zip(boxes, parts, labels, replaced, strict=True)
    ]


def _cut(values: NDArray[Any], counts: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []
