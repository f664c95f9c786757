"""Errors that say what went wrong, in one line a person can act on.

Every error tlseg raises on purpose is a `TlsegError` and also the builtin a Python programmer would expect.
The command line prints its message, never a traceback, and exits with `exit_code`: 2 for bad usage or input,
1 for a run that failed.
"""


class TlsegError(Exception):
    """Base of all errors raised on purpose; the message says what was found, what was expected and what to do."""

    exit_code = 2


class MovieError(TlsegError, ValueError):
    """The image movie cannot be read as what it claims to be."""


class PlanError(TlsegError, ValueError):
    """The work cannot be cut as asked, or will not fit in memory."""


class ModelError(TlsegError, ValueError):
    """A model is unknown, damaged, or does not fit the data."""


class LabelError(TlsegError, ValueError):
    """Labels, tables or tracks cannot be read or must not be overwritten."""


class EvaluationError(TlsegError, ValueError):
    """A result and a truth cannot be compared."""


class TrainingError(TlsegError, ValueError):
    """The training data or settings do not make sense."""


class ResumeError(TlsegError, RuntimeError):
    """An unfinished run on the same output was made from other input, settings or weights."""


class MissingExtraError(TlsegError, ImportError):
    """An optional dependency is not installed.

    `extra` is the extra of tlseg that includes it; the message says how to install it here.
    """

    def __init__(self, message: str, *, extra: str = "") -> None:
        super().__init__(message)
        self.extra = extra


class RunError(TlsegError, RuntimeError):
    """The run itself failed: a region, a seam or a worker."""

    exit_code = 1


class FailedTrainingError(RunError):
    """A training failed because of its settings, and would fail again."""


def one_line(error: BaseException) -> str:
    """First line of an error's message, short enough to go inside another one."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
