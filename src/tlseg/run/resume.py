"""Is there an unfinished run to go on with? Only one of the same movie, settings and pixels; else a run begins anew.

What a start reads of its frames is kept with the working files, so that the next one does not read them again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from tlseg.errors import ResumeError
from tlseg.run.checks import check_existing
from tlseg.run.context import RunContext
from tlseg.run.job import Job
from tlseg.store.working.scratch import LostWorkError, Scratch


def begin(job: Job, first: tuple[float, float], *, overwrite: bool) -> tuple[Job, bool]:
    """Go on with an unfinished run or begin anew; returns the job with its working files, and whether it goes on.

    Another start may have begun, been stopped or come to its end since this one looked, so all is asked again.
    """
    check_existing(job, overwrite=overwrite)
    job = as_it_is(job)
    if goes_on(job, first, overwrite=overwrite):
        return job, True
    scratch = job.run.scratch.begin(job.fingerprint(), overwrite=overwrite)
    return replace(job, run=replace(job.run, scratch=scratch)), False


def as_it_is(job: Job) -> Job:
    """Return the job with the unfinished run that is there now, if there is one."""
    return replace(job, run=replace(job.run, scratch=Scratch.at(job.run.scratch.folder)))


def goes_on(job: Job, first: tuple[float, float], *, overwrite: bool) -> bool:
    """Whether there is an unfinished run to go on with; `first` are the statistics of the first frame as it is now.

    Raises
    ------
    ResumeError
        Without `overwrite`, where there is one of other settings or other pixels.
    """
    run = job.run
    if not run.scratch.continues(job.fingerprint(), overwrite=overwrite):
        return False
    if stored_statistics(run).get(run.frames[0], first) == first:
        return True
    if overwrite:
        return False
    raise ResumeError(
        f"The pixels of {run.source.url} are not those that the unfinished run in {run.scratch.folder} began with. "
        "Start anew with --overwrite."
    )


def stored_statistics(run: RunContext) -> dict[int, tuple[float, float]]:
    """Statistics of the frames that the unfinished run has read, by frame."""
    found = {}
    for frame in run.frames:
        if run.scratch.done("statistics", frame):
            with suppress(LostWorkError):  # what is damaged is found again
                stored = run.scratch.get("statistics", frame, 0)
                found[frame] = (float(stored["low"]), float(stored["high"]))
    return found


def store_statistics(run: RunContext, frame: int, limits: tuple[float, float]) -> None:
    """Keep what was read of a frame."""
    run.scratch.put("statistics", frame, 0, low=np.array(limits[0]), high=np.array(limits[1]))
