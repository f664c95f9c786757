"""What is wrong if nothing can be written: the place, or only a disk that is full?

A place that is wrong is bad input, and another one must be named. A full disk fails the run, and the same command works once
there is space.
"""

from __future__ import annotations

from tlseg.errors import LabelError, RunError, TlsegError
from tlseg.store.fs.atomic import NO_SPACE


def refusal(error: Exception, found: str, *, instead: str, kind: type[TlsegError] = LabelError) -> TlsegError:
    """Return the error for what could not be written.

    Parameters
    ----------
    error
        How the operating system refused.
    found
        What could not be written and why, without a full stop.
    instead
        What to do unless the disk is full.
    kind
        What to raise unless the disk is full.
    """
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return RunError(f"{found}. Free space, then run the same command again.")
    return kind(f"{found}. {instead}")
