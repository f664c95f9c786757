"""Go back and repair single frames where the tracks contradict them, before anything is written.

Which repairs there are follows from tables alone. Each is one task that reads the box of the nuclei it is about and leaves
a patch in the scratch store; provisional labels stay as they are, so a second start finds what the first did.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.geometry import Box
from tlseg.label.patches import Patch, lay_over, make_patch, pack, unpack
from tlseg.link.repair import Repair
from tlseg.measure.objects import ObjectSums
from tlseg.measure.patched import Replacement, mend_objects, mend_overlaps
from tlseg.run.context import RunContext
from tlseg.run.remeasure import box_around, remeasure
from tlseg.run.tasks.flow import Flow, Task
from tlseg.store.working.names import Stage, Table

_SHARED = ["label_a", "label_b", "voxels"]


def decided(run: RunContext) -> bool:
    """Whether an earlier start decided what is to be repaired."""
    return all(run.scratch.done(Table.REPAIRS, frame) for frame in run.frames)


def store_repairs(run: RunContext, repairs: list[Repair], totals: dict[int, int]) -> None:
    """Write down what is to be done in each frame, with the numbers new nuclei get: those after `totals`."""
    by_frame: dict[int, list[Repair]] = {frame: [] for frame in run.frames}
    for repair in repairs:
        by_frame[repair.frame].append(repair)
    for frame, found in by_frame.items():
        number = totals[frame]
        new = []
        for repair in found:
            more = len(repair.volume_um3) - 1
            new.append([repair.labels[0], *range(number + 1, number + 1 + more)])
            number += more
        run.scratch.put(
            Table.REPAIRS,
            frame,
            0,
            replaced=_ragged([list(repair.labels) for repair in found]),
            numbers=_ragged(new),
            position_um=np.concatenate([np.zeros((0, 3)), *(repair.position_um for repair in found)]),
            volume_um3=np.concatenate([np.zeros(0), *(repair.volume_um3 for repair in found)]),
        )


def patch_flows(run: RunContext) -> Iterator[Flow]:
    """Flows that work out the patches of all frames that have repairs, one per frame."""

    def patch_frame(frame: int) -> Flow:
        count = repairs_of(run, frame)
        done = run.scratch.done(Table.PATCH, frame)
        yield [Task(Stage.REPAIR, frame, n, find_patch, (run, frame, n)) for n in range(count) if n not in done]
        if not run.scratch.done(Table.PATCHES, frame):
            found = [patch for n in range(count) for patch in unpack(run.scratch.get(Table.PATCH, frame, n))]
            run.scratch.put(Table.PATCHES, frame, 0, **pack(found))

    return (patch_frame(frame) for frame in run.frames if repairs_of(run, frame))


def remeasure_flows(run: RunContext) -> Iterator[Flow]:
    """Flows that measure the new nuclei; all patches must be there, since overlaps are counted between frames."""

    def measure_frame(frame: int) -> Flow:
        done = run.scratch.done(Table.REPLACED, frame)
        count = len(patches_of(run, frame))
        yield [Task(Stage.REMEASURE, frame, n, measure_patch, (run, frame, n)) for n in range(count) if n not in done]

    return (measure_frame(frame) for frame in run.frames if repairs_of(run, frame))


def repairs_of(run: RunContext, frame: int) -> int:
    """How many repairs a frame has."""
    if not run.scratch.done(Table.REPAIRS, frame):
        return 0
    return int(run.scratch.get(Table.REPAIRS, frame, 0)["replaced"][:, 0].max(initial=-1)) + 1


def find_patch(run: RunContext, frame: int, number: int) -> int:
    """Task: work out one patch; returns how many nuclei it makes, 0 where the voxels contradict the repair."""
    stored = run.scratch.get(Table.REPAIRS, frame, 0)
    replaced, numbers = (stored[name][stored[name][:, 0] == number, 1] for name in ("replaced", "numbers"))
    own = stored["numbers"][:, 0] == number  # one number, place and volume for each nucleus
    objects = run.scratch.get(Table.OBJECTS, frame, 0)
    rows = np.isin(objects["label"], replaced)
    box = box_around(objects["low"][rows], objects["high"][rows])
    patch = make_patch(
        run.scratch.read("labels", (run.row(frame), *box.slices), frame=frame),
        box=box,
        replaced=replaced,
        numbers=numbers,
        centres_um=stored["position_um"][own] - np.array(run.source.translation_um),
        volumes_um3=stored["volume_um3"][own],
        spacing_um=run.spacing_um,
    )
    run.scratch.put(Table.PATCH, frame, number, **pack([] if patch is None else [patch]))
    return 0 if patch is None else len(numbers)


def measure_patch(run: RunContext, frame: int, number: int) -> int:
    """Task: measure the nuclei of one patch; returns how many there are."""
    patch = patches_of(run, frame)[number]
    found = remeasure(
        patch,
        frame,
        labels=partial(read_labels, run),
        grey=run.source.read,
        frames=run.frames,
        frame_box=run.frame_box,
        spacing_um=run.spacing_um,
    )
    run.scratch.put(
        Table.REPLACED,
        frame,
        number,
        replaced=found.replaced,
        before=found.before,
        after=found.after,
        **found.sums.to_arrays(),
    )
    return len(patch.labels)


def read_labels(run: RunContext, frame: int, box: Box) -> NDArray[np.uint32]:
    """Provisional labels (z, y, x) of a box, patches laid over."""
    labels: NDArray[np.uint32] = run.scratch.read("labels", (run.row(frame), *box.slices), frame=frame)
    patches = patches_of(run, frame)
    if patches:
        labels = labels.copy()
        lay_over(labels, box, patches)
    return labels


def patches_of(run: RunContext, frame: int) -> list[Patch]:
    """Patches of a frame."""
    return unpack(run.scratch.get(Table.PATCHES, frame, 0)) if run.scratch.done(Table.PATCHES, frame) else []


def certified_sums(run: RunContext, frame: int) -> ObjectSums:
    """Sums of a frame's nuclei as they were flooded."""
    stored = run.scratch.get(Table.OBJECTS, frame, 0)
    del stored["overlaps"]
    return ObjectSums(**stored)


def mended_sums(run: RunContext, frame: int) -> tuple[ObjectSums, NDArray[np.int64]]:
    """Sums of a frame's nuclei, and the numbers of those that were repaired."""
    sums, found = certified_sums(run, frame), _replacements(run, frame)
    repaired = np.concatenate([np.zeros(0, np.int64), *(r.sums.label for r in found)])
    return (mend_objects(sums, found) if found else sums), repaired


def certified_overlaps(run: RunContext, frame: int) -> pd.DataFrame:
    """Voxels that nuclei share with those of the next frame, as they were flooded: `label_a, label_b, voxels`."""
    return pd.DataFrame(run.scratch.get(Table.OBJECTS, frame, 0)["overlaps"], columns=_SHARED)


def mended_overlaps(run: RunContext, frame: int) -> pd.DataFrame:
    """The same for repaired frames."""
    here, following = _replacements(run, frame), _replacements(run, frame + 1)
    shared = run.scratch.get(Table.OBJECTS, frame, 0)["overlaps"]
    return pd.DataFrame(mend_overlaps(shared, here, following) if here or following else shared, columns=_SHARED)


def added(run: RunContext, frame: int) -> int:
    """How many numbers repairs may have used."""
    if not run.scratch.done(Table.REPAIRS, frame):
        return 0
    stored = run.scratch.get(Table.REPAIRS, frame, 0)
    return len(stored["numbers"]) - repairs_of(run, frame)


def _replacements(run: RunContext, frame: int) -> list[Replacement]:
    found = []
    for number in sorted(run.scratch.done(Table.REPLACED, frame)):
        stored = run.scratch.get(Table.REPLACED, frame, number)
        replaced, before, after = (stored.pop(name) for name in ("replaced", "before", "after"))
        found.append(Replacement(replaced, ObjectSums(**stored), before, after))
    return found


def _ragged(parts: list[list[int]]) -> NDArray[np.int64]:
    """Rows (part, value)."""
    rows = [(i, value) for i, part in enumerate(parts) for value in part]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
