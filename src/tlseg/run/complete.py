"""Does the result of this very run exist already? Then nothing is left to do, and nothing is touched.

Whatever decides the content of the result is compared: frames, settings, weights, the movie's layout and the grey values of
its first frame, as for a run that continues. How the work was cut is not, and labels edited since are left as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tlseg.errors import LabelError, MovieError
from tlseg.predict.device import Device
from tlseg.predict.normalise import FrameStatistics
from tlseg.run.stages import frame_statistics
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.record import read_record
from tlseg.store.labels.tables import list_tables
from tlseg.store.labels.tracks import graph_of
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import Scratch, differences

if TYPE_CHECKING:
    from tlseg.run.request import CheckedRequest

RUN_KEYS = {"input", "frames", "model", "settings"}
"""In the fingerprint of a run; records of linking lack some of them."""


def finished_run(
    checked: CheckedRequest, *, device: Device, first: FrameStatistics | None = None
) -> dict[str, Any] | None:
    """Record of the run that has done this already; None if none has.

    Parameters
    ----------
    device
        The requested device; "auto" accepts a result of any.
    first
        Statistics of the first frame as it is now; computed if not given.

    Raises
    ------
    LabelError
        If these labels are of a finished run with other settings or pixels.
    """
    if not _is_whole(checked):
        return None
    record = read_record(checked.root.url, checked.name)
    before = record.get("fingerprint")
    whole = record.get("complete") and isinstance(record.get("audit"), dict) and "seconds" in record
    if not whole or not isinstance(before, dict) or not set(before) >= RUN_KEYS:
        return None
    asked = checked.deciding() if device == "auto" else {**checked.deciding(), "device": device}
    changed = differences({key: before.get(key) for key in asked}, json.loads(json.dumps(asked)))
    if changed:
        raise LabelError(
            f"{checked.root} already has labels {checked.name!r}, made with other settings: {'; '.join(changed)}. Use "
            "--overwrite to replace them, or another --name."
        )
    stored = record.get("first_frame")
    if stored is not None:
        now = first or frame_statistics(checked.source, checked.spec, checked.frames[0], skip=checked.skip)
        if stored != [now.low, now.high]:
            raise LabelError(
                f"{checked.root} already has labels {checked.name!r}, but the pixels of {checked.source.url} are not those "
                "they were made from. Use --overwrite to replace them, or another --name."
            )
    return record if not checked.image or checked.copied_image.is_whole() else None


def _is_whole(checked: CheckedRequest) -> bool:
    """Whether labels, table and tracks exist, and no run has begun to replace them or still has to clean up."""
    if Scratch.at(checked.working_files).done(Table.OUTPUT, 0):
        return False
    try:
        listed = checked.name in existing_labels(checked.root) and checked.name in list_tables(checked.root)
        stored = (checked.root / "labels" / checked.name / "zarr.json").exists()
        return listed and stored and graph_of(checked.root, checked.name) is not None
    except (LabelError, MovieError):
        return False
