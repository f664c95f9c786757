"""A busy store is asked again for a while; lasting errors are reported at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from tlseg.store.fs import retry
from tlseg.store.fs.retry import ATTEMPTS, again, again_async


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(retry, "_answered", threading.Event())


class Store:
    """Fails a few times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.asked = failures, error, 0

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return "answer"


def plainly(store: Store) -> str:
    return again(store)


def asynchronously(store: Store) -> str:
    async def request() -> str:
        return store()

    return asyncio.run(again_async(request))


class ConnectTimeoutError(OSError):
    """Has the name of the client library's error, by which it is recognised."""


BOTH = pytest.mark.parametrize("ask", [plainly, asynchronously])


@BOTH
def test_what_passes_is_asked_again_until_it_lasts_too_long(ask: Callable[[Store], str]) -> None:
    busy = Store(ATTEMPTS - 1, TimeoutError())
    assert ask(busy) == "answer"
    gone = Store(ATTEMPTS, TimeoutError())
    with pytest.raises(TimeoutError):
        ask(gone)
    assert busy.asked == gone.asked == ATTEMPTS


@BOTH
@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError(), ValueError()])
def test_what_is_wrong_for_good_is_said_at_once(ask: Callable[[Store], str], error: Exception) -> None:
    store = Store(1, error)
    with pytest.raises(type(error)):
        ask(store)
    assert store.asked == 1


@BOTH
def test_an_address_is_waited_for_only_where_a_store_has_answered(ask: Callable[[Store], str]) -> None:
    unreached = ConnectTimeoutError()
    with pytest.raises(ConnectTimeoutError):
        ask(Store(1, unreached))
    assert ask(Store(0, unreached)) == "answer"
    assert ask(Store(1, unreached)) == "answer"
