"""Take a label movie whose numbers are tracks as it is, and write it as a result of one's own.

Labels that were corrected by hand, or tracked by another program. No number is changed: a pixel of the result has the
value it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tlseg.errors import LabelError
from tlseg.geometry import Shape
from tlseg.link.adopted import Numbers, adopt
from tlseg.run.linking.given import Given, Method, Tracked, write_tracked
from tlseg.run.linking.linked import Linked
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, measure_alone
from tlseg.run.linking.told import mothers_among, notes_on
from tlseg.run.watch.events import Listener, silent
from tlseg.store.labels.parents import Parents, parents_of, read_parents
from tlseg.store.labels.points import is_points

NO_MOTHERS = (
    "No divisions are known: nothing that lies with these labels says which track is the mother of which. Give a CSV with "
    "the columns track and parent, a track file, a GEFF graph or a result with --parents FILE."
)


def adopt_labels(
    labels: str | Path,
    *,
    parents: str | Path | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    labels_name: str | None = None,
    spacing_um: Sequence[float] | None = None,
    interval_s: float | None = None,
    channel: int | str | None = None,
    image: bool = True,
    overwrite: bool = False,
    block: Shape | None = None,
    listener: Listener = silent,
) -> Linked:
    """Take the numbers of a label movie for tracks; every nucleus keeps its number.

    The same number in several frames is one nucleus, and mothers are told by `parents`.

    Parameters
    ----------
    labels
        Anything `link_labels` takes.
    parents
        Which track is the mother of which: a CSV with the columns `track` and `parent` (0: none), a track file of the
        Cell Tracking Challenge, a GEFF graph, or a result that has one. By default the track file in the folder of the
        labels, or the graph of the result that holds them, for tracks that are still there.
    out
        Result group, a path or a URL. Where not given, the labels are added beside the given ones, which must lie in a
        local, writable OME-Zarr 0.5 image.
    name
        Name of the labels in the result: by default that of the given ones, or "nuclei"; beside them it ends in "-adopted".
    labels_name, spacing_um, interval_s, channel, image, overwrite, block, listener
        See `link_labels`.

    Raises
    ------
    LabelError, MovieError
        For input that is no label movie, mothers that contradict it, or an output that may not be written, before any
        label is written.
    PlanError
        For a block that is none, likewise.
    RunError
        When the disk does not take the result.
    """
    if is_points(labels):
        raise LabelError(
            f"{labels} is a table, and tracks are adopted with their label images. Give the labels, and the table with "
            "--parents if it says which track is the mother of which; points without labels are tracked by tlseg link."
        )
    given = Given(
        labels,
        out=out,
        name=name,
        beside="adopted",
        labels_name=labels_name,
        spacing_um=spacing_um,
        interval_s=interval_s,
        channel=channel,
        image=image,
        overwrite=overwrite,
        block=block,
        listener=listener,
    )
    return write_tracked(given, partial(_adopting, parents=parents))


def _adopting(source: LabelInput, *, parents: str | Path | None) -> Method:
    prefer = tuple(n for n in (source.own_name, "nuclei") if n)
    told = parents_of(source.movie) if parents is None else read_parents(parents, prefer=prefer)
    made_of = {"adopted": {"parents": None if told is None else told.source}}
    return Method("adopt", made_of, measure_alone, partial(_adopt, told=told, first=source.frames.start))


def _adopt(frames: list[FrameSums], *, told: Parents | None, first: int) -> Tracked:
    t = np.repeat([sums.frame for sums in frames], [len(sums.objects.label) for sums in frames])
    label = np.concatenate([np.zeros(0, np.int64), *(sums.objects.label for sums in frames)])
    numbers = Numbers.of(t.astype(np.int64), label.astype(np.int64))
    if told is None:
        none = np.zeros(0, np.int64)
        return Tracked(frames, adopt(numbers, daughter=none, mother=none, where=""), notes=(NO_MOTHERS,))
    mothers = mothers_among(told, numbers.track)
    daughter, mother = (mothers[name].to_numpy() for name in ("track", "parent"))
    lineage = adopt(numbers, daughter=daughter, mother=mother, where=told.where)
    return Tracked(frames, lineage, notes=notes_on(told, numbers, lineage, first=first))
