"""What a library that reads images only logs, although it decides whether pixels can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextmanager
def listening(library: str) -> Iterator[list[str]]:
    """Collect a library's warnings; nothing is printed unless the user set up logging."""
    logger, listener = logging.getLogger(library), _Listener()
    logger.addHandler(listener)
    try:
        yield listener.heard
    finally:
        logger.removeHandler(listener)
