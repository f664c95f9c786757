"""What is served to a browser: the requested bytes, or the answer that there are none."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tlseg.view.files import FileServer

DATA = {"ten": b"0123456789", "empty": b""}


class Shelf:
    """Files in memory."""

    def size(self, key: str) -> int:
        if key not in DATA:
            raise FileNotFoundError(key)
        return len(DATA[key])

    def read(self, key: str, start: int, stop: int) -> bytes:
        return DATA[key][start:stop]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = FileServer(Shelf(), host="127.0.0.1")
    yield server.url
    server.stop()


def ask(url: str, header: str | None) -> tuple[int, bytes, str | None]:
    """Status, content and `Content-Range` of an answer."""
    request = urllib.request.Request(url, headers={"Range": header} if header else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), answer.headers["Content-Range"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers["Content-Range"]


@pytest.mark.parametrize(
    ("header", "part", "said"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-20", b"89", "bytes 8-9/10"),
        ("bytes=-20", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_a_range_is_answered_with_its_bytes(url: str, header: str, part: bytes, said: str) -> None:
    assert ask(f"{url}/ten", header) == (206, part, said)


@pytest.mark.parametrize("header", [None, "lines=1-2", "bytes=0-1,4-5"])
def test_other_headers_ask_for_the_whole_file(url: str, header: str | None) -> None:
    assert ask(f"{url}/ten", header) == (200, DATA["ten"], None)


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=20-30", "bytes=10-", "bytes=-0", "bytes=-", "bytes=a-b"])
def test_a_range_without_bytes_is_refused_with_the_size(url: str, header: str) -> None:
    assert ask(f"{url}/ten", header) == (416, b"", "bytes */10")


def test_a_browser_that_goes_away_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Viewers drop the requests of chunks that move out of sight."""
    asked, gone = threading.Event(), threading.Event()

    class Slow(Shelf):
        def read(self, key: str, start: int, stop: int) -> bytes:
            asked.set()
            gone.wait(5)
            return super().read(key, start, stop)

    server = FileServer(Slow(), host="127.0.0.1")
    try:
        parts, before = urlsplit(server.url), set(threading.enumerate())
        browser = socket.create_connection((parts.hostname, parts.port))
        browser.sendall(f"GET {parts.path}/ten HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        assert asked.wait(5)
        answering = set(threading.enumerate()) - before
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed with a reset
        browser.close()
        gone.set()
        for thread in answering:
            thread.join(5)
        assert ask(f"{server.url}/ten", None) == (200, DATA["ten"], None)
    finally:
        server.stop()
    assert answering
    assert capsys.readouterr().err == ""


def test_an_empty_file_is_served_whole_and_has_no_ranges(url: str) -> None:
    assert ask(f"{url}/empty", None) == (200, b"", None)
    assert ask(f"{url}/empty", "bytes=0-") == (416, b"", "bytes */0")
