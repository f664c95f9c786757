"""Write a label movie from any source, with its tracks, as a result of its own.

A `Tracker` makes the tracks; everything else is the same whatever makes them. The given labels are only read. After an
interruption, the next run starts over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from tlseg import __version__
from tlseg.errors import LabelError, RunError, one_line
from tlseg.geometry import Shape, as_block
from tlseg.label.patches import repairs_by_kind
from tlseg.run.derived import remove_derived
from tlseg.run.linking.linked import Linked, count
from tlseg.run.linking.output import (
    LinkOutput,
    Tracked,
    check_target,
    destination,
    open_copy,
    write_tables,
)
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, blocks_of
from tlseg.run.linking.tasks import LabelAddress, boxes_to_write, close_labels, measuring, writing
from tlseg.run.tasks.client_pool import ClientPool
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.pools import SerialPool, open_pool
from tlseg.run.tasks.work import Work
from tlseg.run.watch.event_log import FILE as EVENTS
from tlseg.run.watch.events import Counters, Listener
from tlseg.store.fs.paths import resolve
from tlseg.store.labels.label_group import absent, prepare_root, remove_empty
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.record import FRAMES, INPUT_FRAMES, SKIPPED, new_record, provenance, write_record
from tlseg.store.locks.lock import lock_of
from tlseg.store.working.names import Stage

STARTS_OVER = "Nothing was finished; the same command starts over."
SCATTERED = 0.05
"""Share of its bounding box that a label fills at least if it is one nucleus; true ones fill a fifth or more."""

LEAST_VOXELS = 8
"""Voxels of a label that is judged by this."""


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A label movie to track, and where the result goes.

    Attributes
    ----------
    labels, out, name, labels_name, axes, spacing_um, interval_s, channel, image, overwrite, block, listener
        See `link_labels`.
    compute : Compute
        Where the work is done.
    beside : str
        Suffix of the result's name if it is written beside the given labels.
    """

    labels: str | Path
    out: str | Path | None
    name: str | None
    beside: str
    labels_name: str | None
    axes: str | None
    spacing_um: Sequence[float] | None
    interval_s: float | None
    channel: int | str | None
    image: bool
    overwrite: bool
    block: Shape | None
    compute: Compute
    listener: Listener

    def address(self) -> LabelAddress:
        """How to open the labels, from wherever a worker runs."""
        return LabelAddress(
            run=uuid4().hex,
            labels=resolve(self.labels),
            name=self.labels_name,
            prefer=tuple(n for n in (self.name, "nuclei") if n),
            axes=self.axes,
            spacing_um=None if self.spacing_um is None else tuple(self.spacing_um),
            interval_s=self.interval_s,
            channel=self.channel,
        )


@dataclass(frozen=True, slots=True)
class Tracker:
    """How a label movie gets its tracks.

    Attributes
    ----------
    stage : str
        Its name in progress events.
    settings : mapping
        What it was told, which goes into the fingerprint of the run record.
    track : callable
        Makes tracks from the measured frames.
    with_overlaps : bool
        Whether it asks for the voxels that labels of consecutive frames share.
    """

    stage: str
    settings: Mapping[str, Any]
    track: Callable[[list[FrameSums]], Tracked]
    with_overlaps: bool = False


def track_labels(request: LinkRequest, tracker_for: Callable[[LabelInput], Tracker]) -> Linked:
    """Track a label movie and write the result.

    Parameters
    ----------
    request
        The labels, and where the result goes.
    tracker_for
        Makes the tracker for the opened labels; raises if it cannot be used for them.

    Raises
    ------
    LabelError, MovieError
        If the input is not a label movie, or the output may not be written; raised before anything is written.
    PlanError
        If `block` is not a valid block size; likewise before anything is written.
    RunError
        If the result cannot be written to disk.
    """
    began = time.monotonic()
    block = None if request.block is None else as_block(request.block)
    address = request.address()
    source = address.open()
    tracker = tracker_for(source)
    target = destination(
        source,
        request.out,
        name=request.name,
        beside=request.beside,
        image=request.image,
        overridden=request.spacing_um is not None or request.interval_s is not None,
    )
    check_target(source, target, overwrite=request.overwrite)
    new = absent(target.root, target.folder)
    try:
        with open_pool(request.compute) as pool:
            found, notes = _run(_Job(request, address, source, target, tracker, block, began), pool)
    except OSError as error:
        raise RunError(
            f"The result in {target.root} cannot be written ({error.strerror or one_line(error)}). Free space, check "
            "its permissions, or write elsewhere with --out; the same command starts over."
        ) from error
    finally:
        remove_empty(new)
        close_labels()
    return Linked(
        path=str(target.root),
        name=target.name,
        frames=len(source.frames),
        seconds=time.monotonic() - began,
        notes=notes,
        **found,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """A request, what was opened and decided for it, and when that began."""

    request: LinkRequest
    address: LabelAddress
    source: LabelInput
    target: LinkOutput
    tracker: Tracker
    block: Shape | None
    began: float


def _run(job: _Job, pool: SerialPool | ClientPool) -> tuple[dict[str, int], tuple[str, ...]]:
    """Measure, track and write; the run record comes last. Returns counts and notes."""
    address, source, target, tracker = job.address, job.source, job.target, job.tracker
    prepare_root(target.root)
    counters, overwrite = Counters(job.request.listener), job.request.overwrite
    with lock_of(target.folder) as lock:
        check_target(source, target, overwrite=overwrite)  # another run may have finished since the first check
        work = Work(pool, counters, lock, STARTS_OVER)
        memory = job.request.compute.limited(pool.site("cpu")).memory_bytes
        blocks, measured = blocks_of(source, job.block, memory_bytes=memory), dict[int, FrameSums]()
        counters.expect(Stage.MEASURE, len(source.movie.frames) * len(blocks))
        labelled = source.movie.frames
        work.do(measuring(address, labelled, blocks, with_overlaps=tracker.with_overlaps, found=measured))
        frames = [measured[frame] for frame in labelled]
        counters.expect(tracker.stage, 1)
        tracked = tracker.track(frames)
        counters.add(tracker.stage)

        again = overwrite or target.unfinished.exists()
        target.unfinished.write(b"{}\n")
        remove_derived(target.folder, "audit.json", EVENTS)
        try:
            writer = create_labels(
                target.root,
                name=target.name,
                source=source.base,
                frames=None if target.beside else source.frames,
                mode="overwrite" if again else "new",
            )
        except (LabelError, OSError):
            if not (again or (target.root / "labels" / target.name).exists()):
                target.unfinished.remove()  # nothing was written, so there is nothing to finish
            raise
        copy = open_copy(source, target)
        counters.expect(Stage.WRITE, len(source.frames) * len(boxes_to_write(writer)))
        work.do(writing(address, writer, copy, source.frames, tracked))
        begun = write_tables(source, target, tracked, first=writer.first_frame)
        found = {**count(tracked.lineage), **begun}
        if copy is not None:
            copy.finish()
        notes = (*source.notes, *_doubts(frames), *tracked.notes)
        record = _record(source, found, tracker, tracked, notes=notes, seconds=time.monotonic() - job.began)
        writer.finish(
            provenance(record),
            source="../../" if target.beside or target.image else None,
        )
        write_record(target.record, record)
        target.unfinished.remove()
    return found, notes


def _doubts(frames: list[FrameSums]) -> tuple[str, ...]:
    """Say whether the pixels look like a raw image or a mask rather than labels: as if nuclei were all over the frame."""
    every = [frame.objects for frame in frames]
    filled = [o.voxels / np.prod(o.high - o.low + 1, axis=1) for o in every]
    filled = [share[o.voxels >= LEAST_VOXELS] for share, o in zip(filled, every, strict=True)]
    numbers = np.concatenate(filled) if filled else np.empty(0)
    if not len(numbers) or np.median(numbers) >= SCATTERED:
        return ()
    return (
        "Most numbers are scattered over the frame, as in a raw image or a mask. In labels, every nucleus of a frame has a "
        "number of its own, and the background is 0.",
    )


def _record(
    source: LabelInput,
    found: dict[str, int],
    tracker: Tracker,
    tracked: Tracked,
    *,
    notes: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    patches = [patch for made in tracked.patches.values() for patch in made if tracked.patched == "repaired"]
    fingerprint = {
        "tlseg": __version__,
        "labels": source.movie.source,
        "input": source.base.identity() if source.has_image else None,
        FRAMES: [source.numbers.start, source.numbers.stop],
        INPUT_FRAMES: [source.frames.start, source.frames.stop],
        SKIPPED: list(source.movie.skipped),
        "spacing_um": list(source.base.spacing_um),
        **tracker.settings,
    }
    facts = {
        "frames": len(source.frames),
        **found,
        "repaired": sum(len(patch.labels) for patch in patches),
        "repairs": repairs_by_kind(patches),
        "notes": list(notes),
    }
    return new_record(fingerprint, facts, seconds=seconds)
