"""Let a browser on this machine read what this process can read: a result in an object store, or frames of a run.

Listens on the loopback interface only, behind an address that nobody can guess, and reads nothing else.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote

from tlseg.store.fs.place import Place


class Files(Protocol):
    """The files served, by key; a missing key raises `FileNotFoundError`."""

    def size(self, key: str) -> int:
        """Bytes of a file."""

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file."""


class FileServer:
    """Serves files until it is stopped.

    Attributes
    ----------
    url : str
        Where it is found.
    """

    def __init__(self, files: Files, *, host: str) -> None:
        token = secrets.token_urlsafe(24)
        self._server = ThreadingHTTPServer((host, 0), _handler(files, f"/{token}/"))
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}/{token}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class Bucket:
    """What lies below a place in an object store."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def size(self, key: str) -> int:
        """Bytes of an object."""
        return (self.place / key).size()

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes of an object, without the rest."""
        return (self.place / key).read_range(start, stop)


class RangeError(ValueError):
    """The requested bytes are not in the file."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and stop of `bytes=a-b` (b included), `bytes=a-` or `bytes=-n`; None, the whole file, for any other header.

    Raises
    ------
    RangeError
        If no byte of a file of `size` bytes is in it.
    """
    if not header or not header.startswith("bytes=") or "," in header:
        return None
    first, dash, last = header.removeprefix("bytes=").strip().partition("-")
    if not dash or not (first or last) or not all(part.isdecimal() for part in (first, last) if part):
        raise RangeError(f"{header!r} is not a range of bytes.")
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if stop <= start:
        raise RangeError(f"{header!r} holds none of {size} bytes.")
    return start, stop


def _handler(files: Files, prefix: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            """Answer until the browser goes away, which it does in mid-answer when a chunk moves out of sight."""
            with suppress(ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            """Answer with a file or a part of it."""
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            """Answer with the size of a file."""
            self._answer(with_body=False)

        def do_OPTIONS(self) -> None:
            """Allow pages from elsewhere to ask for parts."""
            self._reply(HTTPStatus.NO_CONTENT, b"", {"Access-Control-Allow-Headers": "*"})

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a viewer asks for thousands of chunks."""

        def _answer(self, *, with_body: bool) -> None:
            key = unquote(self.path.split("?")[0])
            if not key.startswith(prefix) or ".." in key.split("/"):
                self._reply(HTTPStatus.NOT_FOUND, b"", {})
                return
            wanted = key.removeprefix(prefix)
            try:
                size = files.size(wanted)
                span = byte_range(self.headers.get("Range"), size)
                start, stop = span or (0, size)
                data = files.read(wanted, start, stop) if with_body and stop > start else b""
            except FileNotFoundError:
                self._reply(HTTPStatus.NOT_FOUND, b"", {})
                return
            except RangeError:
                self._reply(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", {"Content-Range": f"bytes */{size}"})
                return
            except (OSError, ValueError):
                self._reply(HTTPStatus.BAD_GATEWAY, b"", {})
                return
            headers = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"} if span else {}
            self._reply(HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK, data, headers, size=stop - start)

        def _reply(self, status: HTTPStatus, data: bytes, headers: dict[str, str], *, size: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) if size is None else size))
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Accept-Ranges", "bytes")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler
