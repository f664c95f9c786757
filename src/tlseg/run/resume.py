"""Is there an unfinished run to go on with? Only one of the same movie, settings and pixels; else a run begins anew.

What a start reads of its frames is kept with the working files, so that the next one does not read them again.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from tlseg.errors import ResumeError
from tlseg.run.checks import check_existing
from tlseg.run.context import RunContext
from tlseg.run.planning import PlannedRun
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import LostWorkError, Scratch


def begin(planned: PlannedRun, first: tuple[float, float]) -> tuple[PlannedRun, bool]:
    """Go on with an unfinished run or begin anew; returns the run with its working files, and whether it goes on.

    Another start may have begun, been stopped or come to its end since this one looked, so all is asked again.
    """
    check_existing(planned.checked)
    planned = as_it_is(planned)
    if goes_on(planned, first):
        return planned, True
    overwrite = planned.checked.request.overwrite
    return planned.with_scratch(planned.run.scratch.begin(planned.fingerprint(), overwrite=overwrite)), False


def as_it_is(planned: PlannedRun) -> PlannedRun:
    """Return the run with the unfinished one that is there now, if there is one."""
    return planned.with_scratch(Scratch.at(planned.checked.working_files))


def check_settings(planned: PlannedRun) -> bool:
    """Whether there is an unfinished run of these settings to go on with.

    Raises
    ------
    ResumeError
        Without `overwrite`, where there is one of other settings.
    """
    return planned.run.scratch.continues(planned.fingerprint(), overwrite=planned.checked.request.overwrite)


def goes_on(planned: PlannedRun, first: tuple[float, float]) -> bool:
    """Whether there is an unfinished run to go on with; `first` are the statistics of the first frame as it is now.

    Raises
    ------
    ResumeError
        Without `overwrite`, where there is one of other settings or other pixels.
    """
    run = planned.run
    if not check_settings(planned):
        return False
    if stored_statistics(run).get(run.frames[0], first) == first:
        return True
    if planned.checked.request.overwrite:
        return False
    raise ResumeError(
        f"The pixels of {run.source.url} are not those that the unfinished run in {run.scratch.folder} began with. "
        "Start anew with --overwrite."
    )


def stored_statistics(run: RunContext) -> dict[int, tuple[float, float]]:
    """Statistics of the frames that the unfinished run has read, by frame."""
    found = {}
    for frame in run.frames:
        if run.scratch.done(Table.STATISTICS, frame):
            with suppress(LostWorkError):  # what is damaged is found again
                stored = run.scratch.get(Table.STATISTICS, frame, 0)
                found[frame] = (float(stored["low"]), float(stored["high"]))
    return found


def store_statistics(run: RunContext, frame: int, limits: tuple[float, float]) -> None:
    """Keep what was read of a frame."""
    run.scratch.put(Table.STATISTICS, frame, 0, low=np.array(limits[0]), high=np.array(limits[1]))
