"""An app's back-channel logout endpoint: a real local HTTP server that records what it receives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest


@dataclass(frozen=True)
class Posted:
    """A request as the app received it; ``at`` is in monotonic seconds."""

    path: str
    body: str
    headers: dict[str, str] = field(repr=False)
    at: float = 0.0

    @property
    def token(self) -> str:
        """The logout token, which is the only parameter."""
        given = parse_qs(self.body, strict_parsing=True)
        assert list(given) == ["logout_token"]
        assert len(given["logout_token"]) == 1
        return given["logout_token"][0]


class LogoutSink:
    """Responds with 200. ``answers`` are statuses to respond with first, None to hang up; ``delay`` is in seconds.

    With ``drips`` it sends one byte at a time, endlessly.
    """

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.answers: list[int | None] = []
        self.delay = 0.0
        self.drips = False
        self.location = ""
        self._hurry = threading.Event()
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL that an app would register."""
        return f"http://127.0.0.1:{self._server.server_port}/logout?from=latchkey"

    def wait(self, count: int = 1, seconds: float = 10) -> list[Posted]:
        """Return all requests once ``count`` have arrived. Raise AssertionError after ``seconds``."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.posted) >= count, seconds), f"{len(self.posted)} arrived"
        return self.posted

    def close(self) -> None:
        """Stop listening, and release waiting clients."""
        self._hurry.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, posted: Posted) -> int | None:
        with self._arrived:
            self.posted.append(posted)
            answer = self.answers.pop(0) if self.answers else 200
            self._arrived.notify_all()
        self._hurry.wait(self.delay)
        return answer

    def _handler(sink) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the request's handler below
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = sink._take(Posted(self.path, body, dict(self.headers.items()), time.monotonic()))
                if status is None:
                    return
                while sink.drips and not sink._hurry.wait(0.1):
                    with suppress(OSError):
                        self.wfile.write(b"x")
                self.send_response_only(status)
                if sink.location:
                    self.send_header("Location", sink.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Log nothing."""

        return Handler


@pytest.fixture
def endpoint() -> Iterator[LogoutSink]:
    """An app's endpoint for logout tokens: ``endpoint.posted``, ``endpoint.answers = [500]``."""
    sink = LogoutSink()
    yield sink
    sink.close()
