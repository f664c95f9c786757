"""Is there an unfinished run to continue? Only one of the same movie, settings and pixels; else a run starts over.

Settings that decide only tracks may change until final labels are written; frames labelled so far are kept.

Frame statistics are kept with the working files, so that the next start does not read the frames again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from tlseg.errors import ResumeError
from tlseg.predict.normalise import FrameStatistics
from tlseg.run.checks import check_existing
from tlseg.run.context import RunContext
from tlseg.run.planning import PlannedRun
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import LostWorkError, Scratch, differences

TRACK_SETTINGS = ("link", "repair")
"""In a fingerprint: what decides repairs and tracks, and nothing before them."""

STATISTICS = ("low", "high", "saturated", "imaged")
"""Stored of the statistics of a frame."""

TRACK_TABLES = (Table.REPAIRS, Table.PATCH, Table.PATCHES, Table.REPLACED, Table.TRACKS)
"""Tables that follow from these settings, and are made before anything is published."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a run starts: with its working files, and perhaps with work that an earlier start left in them.

    `changed` lists what differs in the settings of linking and repair since then, as `link.max_gap was 3, is 0`.
    """

    planned: PlannedRun
    resumed: bool
    changed: tuple[str, ...] = ()


def begin(planned: PlannedRun, first: FrameStatistics) -> Start:
    """Continue an unfinished run or start over.

    Another start may have begun, been stopped or finished since this one looked, so everything is checked again.
    """
    check_existing(planned.checked)
    planned = reopened(planned)
    scratch, fingerprint = planned.run.scratch, planned.fingerprint()
    if not can_resume(planned, first):
        scratch = scratch.begin(fingerprint, overwrite=planned.checked.request.overwrite)
        return Start(planned.with_scratch(scratch), resumed=False)
    changed = differences(scratch.fingerprint(), json.loads(json.dumps(fingerprint)))
    if changed:
        planned = planned.with_scratch(scratch.renew(fingerprint, without=TRACK_TABLES))
    return Start(planned, resumed=True, changed=tuple(changed))


def reopened(planned: PlannedRun) -> PlannedRun:
    """Return the run with the working files of the unfinished one that is there now, if there is one."""
    return planned.with_scratch(Scratch.at(planned.checked.working_files))


def check_settings(planned: PlannedRun) -> bool:
    """Whether there is an unfinished run to continue: one whose labels, before tracks, are those of these settings.

    Until it writes final labels it may continue with other settings of linking and repair: what followed from them is
    quickly redone. After that they are as fixed as all others, because provisional labels are dropped as final ones are
    written.

    Raises
    ------
    ResumeError
        Without `overwrite`, if there is one with other settings.
    """
    scratch, fingerprint = planned.run.scratch, planned.fingerprint()
    begun = scratch.fingerprint() or {}
    if not scratch.done(Table.OUTPUT, 0):
        fingerprint |= {key: begun[key] for key in TRACK_SETTINGS if key in begun}
    return scratch.continues(fingerprint, overwrite=planned.checked.request.overwrite)


def can_resume(planned: PlannedRun, first: FrameStatistics) -> bool:
    """Whether there is an unfinished run to continue; `first` are the statistics of the first frame as it is now.

    Raises
    ------
    ResumeError
        Without `overwrite`, if there is one with other settings or other pixels.
    """
    run = planned.run
    if not check_settings(planned):
        return False
    if _stored(run, run.frames[0]) in (None, first):
        return True
    if planned.checked.request.overwrite:
        return False
    raise ResumeError(
        f"The pixels of {run.source.url} are not those that the unfinished run in {run.scratch.folder} began with. "
        "Start over with --overwrite."
    )


def stored_statistics(run: RunContext) -> dict[int, FrameStatistics]:
    """Statistics of the frames that the unfinished run has read, by frame."""
    return {frame: found for frame in run.frames if (found := _stored(run, frame)) is not None}


def store_statistics(run: RunContext, frame: int, found: FrameStatistics) -> None:
    """Keep the statistics of a frame."""
    values = {name: np.array(getattr(found, name)) for name in STATISTICS}
    run.scratch.put(Table.STATISTICS, frame, 0, **values)


def _stored(run: RunContext, frame: int) -> FrameStatistics | None:
    if not run.scratch.done(Table.STATISTICS, frame):
        return None
    with suppress(LostWorkError):  # what is damaged is found again
        stored = run.scratch.get(Table.STATISTICS, frame, 0)
        values = {name: float(stored[name]) for name in STATISTICS}
        return FrameStatistics(**values, scaling=run.spec.scaling)
    return None
