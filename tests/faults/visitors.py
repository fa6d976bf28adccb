"""People at a running server over real sockets: one connection per request, JSON, cookies kept."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from tests.sinks import SmtpSink, code_in

PATIENCE = 20.0
"""Seconds a visitor waits for a part of an answer: longer than any answer may take."""

SESSION = "latchkey_session"

UNANSWERED = (OSError, HTTPException)
"""What asking raises when a server dies under it."""


@dataclass(frozen=True)
class Answer:
    """A response, and how many seconds it took."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The ``response`` member of the envelope."""
        found: dict[str, Any] = json.loads(self.body)["response"]
        return found

    def header(self, name: str) -> str:
        """Return the first header with this name, or ""."""
        return next((value for found, value in self.headers if found.lower() == name), "")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response sets."""
        handed = [value.split(";")[0] for name, value in self.headers if name.lower() == "set-cookie"]
        return {name: value for name, value in (each.split("=", 1) for each in handed) if value}


class Visitor:
    """Someone with a browser of their own at the server ``url``.

    :param host: what they call the server, when it is reached by another address
    """

    def __init__(self, url: str, *, host: str = "") -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.host = host or parts.netloc
        self.cookies: dict[str, str] = {}
        self._csrf = ""

    def get(self, path: str) -> Answer:
        """Get ``path``. Raises one of UNANSWERED if there is no complete response."""
        return self._keep(answer_to(self.address, self.request("GET", path)))

    def post(self, path: str, **fields: Any) -> Answer:
        """Post ``fields`` with a CSRF token. Raises one of UNANSWERED if there is no complete response."""
        return self._keep(answer_to(self.address, self.prepared(path, **fields)))

    def prepared(self, path: str, **fields: Any) -> bytes:
        """Return the bytes of a post without sending it."""
        if not self._csrf:
            self._csrf = self.get("/us-signin").json["csrf_token"]
        return self.request("POST", path, json.dumps(fields | {"csrf_token": self._csrf}).encode())

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the bytes of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Accept: application/json", "Connection: close"]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def send_code(self, identity: str, method: str = "email") -> Answer:
        """Request a code."""
        return self.post("/us-signin/send-code", identity=identity, chosen_method=method)

    def sign_in(self, identity: str, passcode: str) -> Answer:
        """Sign in with a code."""
        return self.post("/us-signin", identity=identity, passcode=passcode)

    def is_signed_in(self) -> bool:
        """Return whether the session is valid. Raises AssertionError if the server can't answer."""
        answer = self.get("/us-signin")
        assert answer.status == 200, answer
        return "user" in answer.json

    def _keep(self, answer: Answer) -> Answer:
        if answer.cookies:
            self.cookies |= answer.cookies
            self._csrf = ""
        if answer.status == 200 and b'"csrf_token"' in answer.body:
            self._csrf = answer.json["csrf_token"]
        return answer


def answer_to(address: tuple[str, int], request: bytes) -> Answer:
    """Send a request on a separate connection and return the response. Raises one of UNANSWERED."""
    began = time.monotonic()
    with socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(request)
        return _read(connection, began)


def answers_at_once(requests: Sequence[tuple[tuple[str, int], bytes]]) -> list[Answer]:
    """Send all requests except their last bytes, each on its own connection, then complete all; return responses."""
    with contextlib.ExitStack() as closing:
        held = [closing.enter_context(socket.create_connection(address, PATIENCE)) for address, _ in requests]
        for connection, (_, request) in zip(held, requests, strict=True):
            connection.sendall(request[:-1])
        time.sleep(0.5)  # until the servers have read everything so far
        began = time.monotonic()
        for connection, (_, request) in zip(held, requests, strict=True):
            connection.sendall(request[-1:])
        return [_read(connection, began) for connection in held]


def _read(connection: socket.socket, began: float) -> Answer:
    response = HTTPResponse(connection)
    response.begin()
    body = response.read()
    return Answer(response.status, response.getheaders(), body, time.monotonic() - began)


def code_for(address: str, smtp: SmtpSink, since: int, seconds: float) -> str | None:
    """Return the code of the first mail to ``address`` after the first ``since`` mails; None if none comes.

    Mails that tell of an earlier sign-in from a new browser have none; they may come late.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for mail in smtp.mails[since:]:
            if address in mail.to and "New sign-in" not in mail.subject:
                return code_in(mail)
        time.sleep(0.03)
    return None


def signed_in_visitor(url: str, address: str, smtp: SmtpSink) -> Visitor:
    """Return someone who has just signed in by email."""
    visitor, since = Visitor(url), len(smtp.mails)
    assert visitor.send_code(address).status == 200
    answer = visitor.sign_in(address, code_for(address, smtp, since, 10) or "no code came")
    assert answer.status == 200, answer
    return visitor


@contextlib.contextmanager
def together(work: Callable[[], None], count: int) -> Iterator[list[threading.Thread]]:
    """Run ``work`` in ``count`` threads during the block, and wait for them at its end."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join(2 * PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a visitor still waits"
