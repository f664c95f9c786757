"""An S3 server on loopback, and a proxy before it that breaks requests as real stores do."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

BUCKET = "movies"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "open-sesame",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-written",
    "AWS_REGION": "us-east-1",
}

Fault = Literal["busy", "slow", "cut", "drop"] | None
Plan = Callable[[str, str, int], Fault]
"""What befalls a request: by method, path and how often this very request came before."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a moto server in this process; yields its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class FaultyProxy:
    """Forwards requests to a server, and breaks those that the plan says."""

    def __init__(self, target: str, plan: Plan = lambda method, path, before: None) -> None:
        self.target, self.plan = urlsplit(target).netloc, plan
        self.seen: Counter[tuple[str, str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Address to talk to."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> FaultyProxy:
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fault(self, method: str, path: str, part: str) -> Fault:
        """Decide what befalls a request, and count it."""
        with self.lock:
            before = self.seen[method, path, part]
            self.seen[method, path, part] += 1
            fault = self.plan(method, path, before)
            if fault:
                self.faults[fault] += 1
        return fault


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self._body()
            fault = proxy.fault(self.command, self.path, self.headers.get("Range", ""))
            if fault == "busy":
                self._answer(503, {"Content-Type": "application/xml"}, BUSY)
                return
            if fault == "drop":
                self.close_connection = True
                self.connection.close()
                return
            if fault == "slow":
                time.sleep(0.2)
            connection = http.client.HTTPConnection(proxy.target, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "expect")}
            if body is not None:
                headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
            if self.command != "HEAD":
                kept["Content-Length"] = str(len(data))
            self._answer(answer.status, kept, data[: len(data) // 2] if fault == "cut" else data)
            connection.close()
            if fault == "cut":
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

        def _body(self) -> bytes | None:
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)
            length = self.headers.get("Content-Length")
            return self.rfile.read(int(length)) if length is not None else None

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            if "Content-Length" not in headers and self.command != "HEAD":
                headers["Content-Length"] = str(len(data))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
