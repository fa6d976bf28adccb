"""A webhook receiver: a real local HTTP server that records what it receives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.document_site import QuietServer


@dataclass(frozen=True)
class Hook:
    """A request as the receiver got it."""

    path: str
    body: bytes
    headers: dict[str, str] = field(repr=False)
    at: float = 0.0

    @property
    def event(self) -> dict[str, Any]:
        """The event in its body."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def type(self) -> str:
        """The type of the event."""
        return str(self.event["type"])

    @property
    def id(self) -> str:
        """The ``webhook-id``."""
        return self.headers["webhook-id"]


class Receiver:
    """Responds with 204. ``answers`` are statuses to respond with first, or None to hang up.

    ``headers`` are sent with each response. ``answer``, if set, writes the response itself instead.
    """

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        self.answers: list[int | None] = []
        self.headers: dict[str, str] = {}
        self.answer: Callable[[Any, threading.Event], None] | None = None
        self._over = threading.Event()
        self._arrived = threading.Condition()
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL that it listens on."""
        return f"http://127.0.0.1:{self._server.server_port}/hooks?key=k"

    @property
    def types(self) -> list[str]:
        """The types of the received events."""
        return [hook.type for hook in self.hooks]

    def wait(self, count: int = 1, seconds: float = 10) -> list[Hook]:
        """Return all requests once ``count`` have arrived. Raise AssertionError after ``seconds``."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.hooks) >= count, seconds), f"{len(self.hooks)} arrived"
        return self.hooks

    def close(self) -> None:
        """Stop listening, and release waiting clients."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, hook: Hook) -> int | None:
        with self._arrived:
            self.hooks.append(hook)
            answer = self.answers.pop(0) if self.answers else 204
            self._arrived.notify_all()
        return answer

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the request's handler below
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver._take(Hook(self.path, body, headers, time.monotonic()))
                with suppress(OSError):
                    if receiver.answer is not None:
                        receiver.answer(self, receiver._over)
                    elif status is not None:
                        self.send_response_only(status)
                        for name, value in ({"Content-Length": "0"} | receiver.headers).items():
                            self.send_header(name, value)
                        self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Log nothing."""

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver: ``receiver.hooks``, ``receiver.answers = [500]``."""
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    """Another webhook receiver."""
    found = Receiver()
    yield found
    found.close()
