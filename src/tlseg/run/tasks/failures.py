"""What becomes of a task that fails: it is tried again, or ends the run with an error that names it."""

from __future__ import annotations

import errno

from tlseg.errors import TlsegError, one_line
from tlseg.run.tasks.batch import Outcome
from tlseg.run.tasks.flow import Finished, Task, TasksError
from tlseg.store.fs.atomic import NO_SPACE

TRIES = 3
"""How often a task may fail before the run does."""

NO_ACCESS = {errno.EROFS, errno.EACCES, errno.EPERM}


class Retries:
    """Which tasks have failed so far, how often, and with which error last."""

    def __init__(self) -> None:
        self.failed: dict[int, tuple[int, str]] = {}

    def settle(self, ticket: int, task: Task, outcome: Outcome) -> Finished | None:
        """Return the task as finished, or None if it is to be tried again.

        Raises
        ------
        TlsegError
            When it failed for good.
        """
        failures, last = self.failed.pop(ticket, (0, ""))
        if outcome.error is None:
            return Finished(ticket, outcome.result, outcome.seconds, outcome.worker, failures, last)
        failures += 1
        if failures == TRIES or not is_retryable(outcome.error):
            raise explained(outcome.error, task, tries=failures) from outcome.error
        self.failed[ticket] = failures, one_line(outcome.error)
        return None


def is_retryable(error: Exception) -> bool:
    """Whether trying again may help: tlseg's own errors are certain, and a full disk stays full."""
    lasting = isinstance(error, OSError) and error.errno in NO_SPACE | NO_ACCESS
    return not (lasting or isinstance(error, TlsegError))


def explained(error: Exception, task: Task, *, tries: int = 1) -> TlsegError:
    """Return the error shown to the user: tlseg's own errors unchanged, everything else with its stage and region."""
    if isinstance(error, TlsegError):
        return error
    often = f" {tries} times" if tries > 1 else ""
    return TasksError(f"Stage {task.stage} failed{often} on {task.place}: {describe_error(error)}")


def describe_error(error: Exception) -> str:
    """An error in one line, with what to do about it where a disk refused to write."""
    advice = ""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        advice = " No space is left: free some."
    elif isinstance(error, OSError) and error.errno in NO_ACCESS:
        advice = " The output cannot be written to: fix its permissions."
    return f"{one_line(error)}.{advice}"
