"""Track the nuclei of a label movie from any source, and write the tracked labels as a result.

The labels given are only read. A second start does again what the first was stopped in.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tlseg import __version__
from tlseg.errors import RunError
from tlseg.geometry import Shape, as_block
from tlseg.label.patches import Patch, repairs_by_kind
from tlseg.link.link import link_objects
from tlseg.link.settings import LinkSettings
from tlseg.run.linking.linked import Linked, count
from tlseg.run.linking.output import LinkOutput, check_target, destination, open_copy, write_pixels, write_tables
from tlseg.run.linking.repair import check_repairable, repair_given
from tlseg.run.linking.source import LabelInput, open_labels
from tlseg.run.linking.tables import measure_frame, tables_to_link
from tlseg.run.replaced import forget_made_of
from tlseg.run.watch.event_log import FILE as EVENTS
from tlseg.run.watch.events import Counters, Listener, silent
from tlseg.store.fs.location import one_line
from tlseg.store.labels.label_writer import create_labels, prepare_root
from tlseg.store.locks.lock import lock_of


def link_labels(
    labels: str | Path,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    labels_name: str | None = None,
    spacing_um: Sequence[float] | None = None,
    interval_s: float | None = None,
    channel: int | str | None = None,
    image: bool = True,
    settings: LinkSettings | None = None,
    repair: bool = False,
    overwrite: bool = False,
    block: Shape | None = None,
    listener: Listener = silent,
) -> Linked:
    """Track nuclei through a label movie; every nucleus gets the number of its track.

    Parameters
    ----------
    labels
        OME-Zarr image with labels, OME-Zarr label image, zarr array, TIFF, folder of TIFFs with one frame each, or Cell
        Tracking Challenge folder. Labels are numbers within their frame: they need not correspond between frames.
    out
        Result group, a path or a URL. By default, tracked labels are added beside the given ones, which must be in a local,
        writable OME-Zarr 0.5 image.
    name
        Name of the tracked labels: by default that of the given ones, or "nuclei"; beside them it ends in "-tracked".
    labels_name
        Label image inside the OME-Zarr; by default the one called `name`, or "nuclei", or the only one.
    spacing_um, interval_s
        Micrometres per voxel (z, y, x; or y, x) and seconds between frames, instead of those in the files.
    channel
        Channel of the image to measure and copy.
    image
        With `out`, copy the image too if there is one.
    settings
        How to link.
    repair
        Join nuclei cut in two and separate those merged into one, in single frames where neighbouring frames show it.
    overwrite
        Replace labels, tables and tracks of this name.
    block
        Voxels (z, y, x) measured at once. Affects memory and speed, never labels.
    listener
        Called with each progress event.

    Raises
    ------
    LabelError, MovieError
        If the input is not a label movie, or the output may not be written; raised before anything is written.
    PlanError
        If `block` is not a valid block size; likewise before anything is written.
    RunError
        When the result cannot be written to disk.
    """
    began = time.monotonic()
    if block is not None:
        block = as_block(block)
    source = open_labels(
        labels,
        name=labels_name,
        prefer=tuple(n for n in (name, "nuclei") if n),
        spacing_um=spacing_um,
        interval_s=interval_s,
        channel=channel,
    )
    chosen = (settings or LinkSettings()).with_interval(source.base.interval_s)
    if repair:
        check_repairable(source)
    target = destination(
        source, out, name=name, image=image, overridden=spacing_um is not None or interval_s is not None
    )
    check_target(source, target, overwrite=overwrite)
    try:
        found = _run(
            source,
            target,
            chosen,
            block,
            Counters(listener),
            repair=repair,
            overwrite=overwrite,
            began=began,
        )
    except OSError as error:
        raise RunError(
            f"The result in {target.root} cannot be written ({error.strerror or one_line(error)}). Free space, or write "
            "elsewhere with --out; the same command starts again."
        ) from error
    return Linked(
        path=str(target.root),
        name=target.name,
        frames=len(source.frames),
        seconds=time.monotonic() - began,
        notes=source.notes,
        **found,
    )


def _run(
    source: LabelInput,
    target: LinkOutput,
    settings: LinkSettings,
    block: Shape | None,
    counters: Counters,
    *,
    repair: bool,
    overwrite: bool,
    began: float,
) -> dict[str, int]:
    """Measure, link and write, and count what was found; `complete: true` comes last."""
    prepare_root(target.root)
    with lock_of(target.folder) as lock:
        check_target(source, target, overwrite=overwrite)  # another run may have come to its end since
        counters.expect("measure", len(source.movie.frames))
        frames = []
        for frame in source.movie.frames:
            frames.append(measure_frame(source, frame, block=block))
            counters.add("measure")
            lock.beat()
        counters.expect("link", 1)
        patches: dict[int, list[Patch]] = {}
        if repair:
            frames, patches = repair_given(source, frames, settings=settings)
        lineage = link_objects(*tables_to_link(source, frames), settings=settings)
        counters.add("link")

        again = overwrite or target.unfinished.exists()
        target.unfinished.write(b"{}\n")
        forget_made_of(target.folder, "audit.json", EVENTS)
        writer = create_labels(
            target.root,
            name=target.name,
            source=source.base,
            frames=None if target.beside else source.frames,
            mode="overwrite" if again else "new",
        )
        copy = open_copy(source, target)
        counters.expect("write", len(source.frames))
        for frame in source.frames:
            write_pixels(source, writer, copy, frame, lineage, patches)
            counters.add("write")
            lock.beat()
        begun = write_tables(source, target, frames, lineage, patches, first=writer.first_frame)
        found = {**count(lineage), **begun}
        if copy is not None:
            copy.finish()
        repaired = sum(len(patch.labels) for made in patches.values() for patch in made) if repair else None
        record = _record(source, found, settings, repaired, seconds=time.monotonic() - began)
        record["repairs"] = repairs_by_kind(patch for made in patches.values() for patch in made)
        writer.finish(
            {key: record[key] for key in ("tlseg", "made", "fingerprint")},
            source="../../" if target.beside or target.image else None,
        )
        target.record.write((json.dumps(record, indent=2) + "\n").encode())
        target.unfinished.remove()
    return found


def _record(
    source: LabelInput, found: dict[str, int], settings: LinkSettings, repaired: int | None, *, seconds: float
) -> dict[str, Any]:
    return {
        "complete": True,
        "tlseg": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": {
            "tlseg": __version__,
            "labels": source.movie.source,
            "input": source.base.identity() if source.has_image else None,
            "frames": [source.frames.start, source.frames.stop],
            "spacing_um": list(source.base.spacing_um),
            "link": asdict(settings),
            "repair": repaired is not None,
        },
        "frames": len(source.frames),
        **found,
        "repaired": repaired or 0,
        "machine": {"python": platform.python_version(), "system": platform.platform()},
        "notes": list(source.notes),
        "seconds": round(seconds, 1),
    }
