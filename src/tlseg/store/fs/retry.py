"""Ask a remote store again when it is busy, slow or cuts an answer short, and only then.

Permanent failures (nothing there, no permission, no such bucket) are reported at once, and so is an address at which no
store ever answered; one that has answered is waited for. Every request that is repeated reads, or writes the same bytes
under the same key, so doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

ATTEMPTS = 7
FIRST_DELAY_S = 0.25
"""Seven attempts with doubling pauses last about a quarter of a minute, beyond what the client library tries itself."""

_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_TRANSIENT = (TimeoutError, ConnectionError, asyncio.IncompleteReadError)
_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_CODES = frozenset({"BadDigest", "IncompleteBody", "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"})
_ERRNO = frozenset({errno.EBUSY, errno.EIO, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EIO)})
_NAMES = frozenset({"ClientPayloadError", "ServerDisconnectedError", "HTTPClientError", "IncompleteRead"})
_UNREACHED = frozenset(
    {"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionRefusedError"}
)
"""Temporary errors of aiohttp, botocore and urllib3, by name: none of them has to be installed."""

_answered = threading.Event()
"""Set once a remote store has answered in this process."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed in a moment."""
    if isinstance(error, _FINAL):
        return False
    seen: BaseException | None = error
    while seen is not None:
        names = {kind.__name__ for kind in type(seen).__mro__}
        if names & _UNREACHED:
            return _answered.is_set()
        if isinstance(seen, _TRANSIENT) or names & _NAMES:
            return True
        if isinstance(seen, OSError) and seen.errno in _ERRNO:
            return True
        if _status(seen) in _STATUS or _code(seen) in _CODES:
            return True
        seen = seen.__cause__
    return False


def again(request: Callable[[], T]) -> T:
    """Make a request, and repeat it while its failure is temporary."""
    for delay in _delays():
        try:
            result = request()
        except Exception as error:
            if not is_transient(error):
                raise
        else:
            _answered.set()
            return result
        time.sleep(delay)
    return request()


async def again_async(request: Callable[[], Awaitable[T]]) -> T:
    """As `again`, for coroutines."""
    for delay in _delays():
        try:
            result = await request()
        except Exception as error:
            if not is_transient(error):
                raise
        else:
            _answered.set()
            return result
        await asyncio.sleep(delay)
    return await request()


def _delays() -> Iterator[float]:
    """Pauses before each further attempt; spread, so that many workers do not come back at the same moment."""
    for attempt in range(ATTEMPTS - 1):
        yield FIRST_DELAY_S * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311, nothing secret


def _status(error: BaseException) -> Any:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return getattr(error, "status", None)


def _code(error: BaseException) -> Any:
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None
