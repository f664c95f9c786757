"""Write a label movie whose label numbers are already tracks as a result of its own.

This is for labels that were corrected by hand or tracked by another program. No number changes: every pixel of the result
has the value it has in the labels given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlseg.errors import LabelError
from tlseg.geometry import Shape
from tlseg.link.adopted import Numbers, adopt
from tlseg.measure.objects import looseness
from tlseg.run.linking.linked import Linked
from tlseg.run.linking.output import Tracked
from tlseg.run.linking.parent_notes import mothers_to_use, notes_on, parents_for
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, frames_and_labels
from tlseg.run.linking.tracking import LinkRequest, Tracker, track_labels
from tlseg.run.tasks.cluster import Tls
from tlseg.run.tasks.compute import Compute
from tlseg.run.watch.events import Listener, silent
from tlseg.store.labels.parents import Parents
from tlseg.store.labels.points import is_points
from tlseg.wording import how_many

if TYPE_CHECKING:
    from distributed import Client

LOOSE = 2.5
"""Least `looseness` of a nucleus in pieces: two equal balls whose centres are 4.4 radii apart. No nucleus in the ground
truth of BBBC050 (Tokuoka et al. 2020) is above 1.8."""

NO_MOTHERS = (
    "No divisions are known: nothing stored with these labels says which track is the mother of which. Use --parents FILE "
    "to give the mothers as a table with the columns track and parent, a track file, a GEFF graph or a result."
)


def adopt_labels(
    labels: str | Path,
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
    """Use the numbers of a label movie as tracks; every nucleus keeps its number.

    The same number in several frames is one nucleus; `parents` gives the mothers.

    Parameters
    ----------
    labels
        Any label movie that `link_labels` accepts; the numbers must be tracks.
    parents
        Which track is the mother of which: a table with the columns `track` and `parent` (0: none), a Cell Tracking
        Challenge track file, a GEFF graph, or a result with a graph. By default, the track file in the folder of the
        labels, or the graph of the result that contains them, for tracks that still exist.
    out
        Result group, a path or a URL. By default, the result is added beside the given labels, which must be in a local,
        writable OME-Zarr 0.5 image.
    name
        Name of the labels in the result: by default that of the given ones, or "nuclei"; beside them it ends in "-adopted".
    labels_name, axes, spacing_um, interval_s, channel, image, overwrite, block, workers, scheduler, client, cluster,
    tls, memory_limit, listener
        See `link_labels`.

    Raises
    ------
    LabelError, MovieError
        If the input is not a label movie, the mothers contradict it, or the output may not be written; raised before any
        label is written.
    PlanError
        If `block` is not a valid block size; likewise before any label is written.
    RunError
        If the result cannot be written to disk.
    """
    if is_points(labels):
        raise LabelError(
            f"{labels} is a table, but tracks can only be adopted from label images. Give the label images, and this table "
            "with --parents if it lists the mothers of tracks. Use tlseg link to track points without labels."
        )
    request = LinkRequest(
        labels,
        out=out,
        name=name,
        beside="adopted",
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
    return track_labels(request, partial(_tracker, parents=parents))


def _tracker(source: LabelInput, *, parents: str | Path | None) -> Tracker:
    told = parents_for(source, parents)
    settings = {"adopted": {"parents": None if told is None else told.source}}
    return Tracker("adopt", settings, partial(_adopt, told=told, first=source.frames.start))


def _adopt(frames: list[FrameSums], *, told: Parents | None, first: int) -> Tracked:
    numbers = Numbers.of(*frames_and_labels(frames))
    pieces = tuple(filter(None, (_note_on_pieces(frames),)))
    if told is None:
        none = np.zeros(0, np.int64)
        unknown = (NO_MOTHERS,) if len(frames) > 1 else ()
        return Tracked(frames, adopt(numbers, daughter=none, mother=none, where=""), notes=(*unknown, *pieces))
    mothers = mothers_to_use(told, numbers.track)
    daughter, mother = (mothers[name].to_numpy() for name in ("track", "parent"))
    lineage = adopt(numbers, daughter=daughter, mother=mother, where=told.where)
    return Tracked(frames, lineage, notes=(*notes_on(told, numbers, lineage, first=first), *pieces))


def _note_on_pieces(frames: Sequence[FrameSums]) -> str:
    """Say how many nuclei are in pieces that lie apart, as when one number was given to two nuclei; empty if none is.

    Sums that are measured anyway answer this; no pixel is read again.
    """
    found = [
        (sums.frame, int(label)) for sums in frames for label in sums.objects.label[looseness(sums.objects) > LOOSE]
    ]
    if not found:
        return ""
    frame, label = found[0]
    nuclei = len({label for _, label in found})
    return (
        f"{how_many(nuclei, 'nucleus is', 'nuclei are')} in several pieces that lie apart, first label {label} in frame "
        f"{frame}: one number may have been given to two nuclei."
    )
