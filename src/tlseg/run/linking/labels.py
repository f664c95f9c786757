"""Track the nuclei of a label movie from any source, and write the tracked labels as a result.

Numbers are those within a frame: what they say through time does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlseg.geometry import Shape
from tlseg.link.link import link_objects
from tlseg.link.settings import LinkSettings
from tlseg.run.linking.linked import Linked
from tlseg.run.linking.output import Tracked
from tlseg.run.linking.repair import Patches, check_repairable, repair_given
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, tables_to_link
from tlseg.run.linking.tracking import LinkRequest, Tracker, track_labels
from tlseg.run.tasks.cluster import Tls
from tlseg.run.tasks.compute import Compute
from tlseg.run.watch.events import Listener, silent

if TYPE_CHECKING:
    from distributed import Client


def link_labels(
    labels: str | Path,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    labels_name: str | None = None,
    axes: str | None = None,
    spacing_um: Sequence[float] | None = None,
    interval_s: float | None = None,
    channel: int | str | None = None,
    image: bool = True,
    settings: LinkSettings | None = None,
    repair: bool = False,
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
    axes
        Axes of a plain TIFF or zarr array, slowest first; by default those it names, or the last of t, z, y, x.
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
    workers, scheduler, client, cluster, tls, memory_limit
        Where labels are measured and written, as for `tlseg.segment`.
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
    request = LinkRequest(
        labels,
        out=out,
        name=name,
        beside="tracked",
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
    return track_labels(request, partial(_tracker, settings=settings or LinkSettings(), repair=repair))


def _tracker(source: LabelInput, *, settings: LinkSettings, repair: bool) -> Tracker:
    chosen = settings.with_interval(source.base.interval_s)
    if repair:
        check_repairable(source)

    def track(frames: list[FrameSums]) -> Tracked:
        patches: Patches = {}
        if repair:
            frames, patches = repair_given(source, frames, settings=chosen)
        return Tracked(frames, link_objects(*tables_to_link(source, frames), settings=chosen), patches)

    return Tracker("link", {"link": asdict(chosen), "repair": repair}, track, with_overlaps=True)
