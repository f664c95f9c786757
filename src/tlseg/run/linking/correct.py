"""Apply a person's corrections to a label movie whose numbers are tracks, and write it as a result of its own.

The given labels are only read, so the table of corrections is the whole history: add a line and run it again. Nuclei that no
correction names keep their voxels and their numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.geometry import Shape, Spacing
from tlseg.label.patches import Patch, make_patch
from tlseg.link.adopted import Numbers, adopt
from tlseg.link.corrections import Corrected, Correction, apply_corrections, follow_mothers
from tlseg.link.objects import Floats, Ints
from tlseg.run.linking.correction_file import read_corrections
from tlseg.run.linking.linked import Linked
from tlseg.run.linking.output import Tracked
from tlseg.run.linking.parent_notes import parents_for
from tlseg.run.linking.repair import free_labels, mended_sums, read_mended
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, frames_and_labels
from tlseg.run.linking.tracking import LinkRequest, Tracker, track_labels
from tlseg.run.remeasure import box_around
from tlseg.run.tasks.cluster import Tls
from tlseg.run.tasks.compute import Compute
from tlseg.run.watch.events import Listener, silent
from tlseg.store.image.movie import MovieSource
from tlseg.wording import how_many

if TYPE_CHECKING:
    from distributed import Client


def correct_labels(
    labels: str | Path,
    corrections: str | Path,
    *,
    parents: str | Path | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    labels_name: str | None = None,
    axes: str | None = None,
    spacing_um: Sequence[float] | None = None,
    interval_s: float | None = None,
    channel: int | str | None = None,
    image: bool = True,
    overwrite: bool = False,
    block: Shape | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    client: Client | None = None,
    cluster: str | Path | Mapping[str, Any] | None = None,
    tls: Tls | None = None,
    memory_limit: int | None = None,
    listener: Listener = silent,
) -> Linked:
    """Apply a table of corrections to labels whose numbers are tracks.

    Parameters
    ----------
    labels
        A result, or any label movie that `link_labels` accepts; the numbers must be tracks.
    corrections
        Table of corrections, see `read_corrections`; applied in order, mothers last.
    parents
        Mothers before any correction, see `adopt_labels`.
    name
        Name of the labels in the result: by default that of the given ones, or "nuclei"; beside them it ends in
        "-corrected".
    out, labels_name, axes, spacing_um, interval_s, channel, image, overwrite, block, workers, scheduler, client, cluster,
    tls, memory_limit, listener
        See `link_labels`.

    Raises
    ------
    LabelError, MovieError
        If the input is not a label movie, a correction cannot be applied, or the output may not be written; raised before
        any label is written.
    PlanError
        If `block` is not a valid block size; likewise before any label is written.
    RunError
        If the result cannot be written to disk.
    """
    request = LinkRequest(
        labels,
        out=out,
        name=name,
        beside="corrected",
        labels_name=labels_name,
        axes=axes,
        spacing_um=spacing_um,
        interval_s=interval_s,
        channel=channel,
        image=image,
        overwrite=overwrite,
        block=block,
        compute=Compute(
            workers=workers,
            scheduler=scheduler,
            client=client,
            cluster=cluster,
            tls=tls,
            device="cpu",
            memory_limit=memory_limit,
        ),
        listener=listener,
    )
    return track_labels(request, partial(_tracker, table=Path(corrections), parents=parents))


def _tracker(source: LabelInput, *, table: Path, parents: str | Path | None) -> Tracker:
    corrections = read_corrections(table)
    told = parents_for(source, parents)
    mothers = np.zeros((0, 2), np.int64)
    if told is not None:
        mothers = told.tracks.loc[told.tracks["parent"] > 0, ["track", "parent"]].to_numpy(np.int64)
    settings = {
        "adopted": {
            "parents": None if told is None else told.source,
            "corrections": [asdict(correction) for correction in corrections],
        }
    }
    return Tracker("correct", settings, partial(_correct, source, corrections=corrections, mothers=mothers))


def _correct(
    source: LabelInput, frames: list[FrameSums], *, corrections: tuple[Correction, ...], mothers: NDArray[np.int64]
) -> Tracked:
    pixels = _Pixels(source, {sums.frame: sums for sums in frames})
    t, label = frames_and_labels(frames)
    found = apply_corrections(t, label, corrections, take_apart=pixels.take_apart, offset=source.offset)
    known, lost = follow_mothers(found, daughter=mothers[:, 0], mother=mothers[:, 1])
    pairs = np.array(list(known.items()), np.int64).reshape(-1, 2)
    left = _join_fragments(pixels, found)
    numbers = Numbers.of(found.t[left], found.label[left], found.number[left])
    lineage = adopt(numbers, daughter=pairs[:, 0], mother=pairs[:, 1], where="What the corrections leave")
    removed = pd.DataFrame({"t": found.t, "label": found.label})[found.number == 0]
    return Tracked(
        mended_sums(source, frames, pixels.patches),
        lineage,
        patches=pixels.patches,
        patched="corrected",
        removed={int(frame): rows.to_numpy(np.int64) for frame, rows in removed.groupby("t")["label"]},
        notes=(*found.said, *_notes(lost)),
    )


def _join_fragments(pixels: _Pixels, found: Corrected) -> NDArray[np.bool_]:
    """Make labels of one frame that share a number one label, and say which rows are left."""
    left = found.number > 0
    rows = pd.DataFrame({"t": found.t, "number": found.number, "label": found.label})[left]
    for _, same in rows[rows.duplicated(["t", "number"], keep=False)].groupby(["t", "number"]):
        pixels.join(int(same["t"].iloc[0]), same["label"].to_numpy(np.int64))
        left[same.index[1:]] = False
    return left


def _notes(lost: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    if not lost:
        return ()
    daughter, mother = lost[0]
    return (
        f"Without the mother they had, because she no longer ends before they begin, or was removed: "
        f"{how_many(len(lost), 'nucleus', 'nuclei')}, first {daughter}, whose mother was {mother} (numbers before any "
        "correction).",
    )


@dataclass(slots=True, eq=False)
class _Pixels:
    """Labels of all frames, and the patches that change them."""

    source: LabelInput
    sums: dict[int, FrameSums]
    patches: defaultdict[int, list[Patch]] = field(default_factory=lambda: defaultdict(list))

    def take_apart(self, c: Correction, frame: int, labels: Ints) -> Ints:
        """Divide a nucleus, which may be in several labels, between the centres of a correction."""
        base = self.source.base
        axes = 2 if base.is_2d else 3
        centres = np.array(c.at_um)
        if centres.shape[1] != axes:
            raise LabelError(f"{c.where}: {centres.shape[1]} coordinates for each centre. Expected {'zyx'[-axes:]}.")
        centres = np.pad(centres, ((0, 0), (3 - axes, 0))) - base.translation_um
        free = free_labels(self.sums[frame], self.patches[frame], count=len(centres) - 1)
        numbers = np.concatenate([labels[:1], free])
        if not self._patch(frame, labels, numbers, centres):
            raise LabelError(
                f"{c.where}: {c.track} cannot be separated at these centres in frame {c.first}: none of its voxels is "
                "nearest to one of them. Check that they are micrometres, in the order z y x."
            )
        return numbers

    def join(self, frame: int, labels: Ints) -> None:
        """Give the voxels of labels the first of their numbers."""
        self._patch(frame, labels, labels[:1], np.zeros((1, 3)))

    def _patch(self, frame: int, labels: Ints, numbers: Ints, centres_um: Floats) -> bool:
        done = self.patches[frame]
        objects = self.sums[frame].objects
        own = np.isin(objects.label, labels)
        boxes = [(patch.box.start, patch.box.stop) for patch in done if np.isin(labels, patch.labels).any()]
        low = np.concatenate([objects.low[own], *(np.array([start]) for start, _ in boxes)])
        high = np.concatenate([objects.high[own], *(np.array([stop]) - 1 for _, stop in boxes)])
        box = box_around(low, high)
        patch = make_patch(
            read_mended(self.source, frame, box, self.patches),
            box=box,
            replaced=labels,
            numbers=numbers,
            centres_um=centres_um,
            volumes_um3=None,
            spacing_um=_spacing(self.source.base),
        )
        if patch is not None:
            done.append(patch)
        return patch is not None


def _spacing(base: MovieSource) -> Spacing:
    """Voxel spacing; nothing lies above and below a plane, so its neighbours along z are out of reach."""
    return (
        (max(np.multiply(base.frame_shape, base.spacing_um)), *base.spacing_um[1:]) if base.is_2d else base.spacing_um
    )
