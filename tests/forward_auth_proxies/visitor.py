"""A visitor at a proxy who writes each byte of a request."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPMessage, HTTPResponse
from typing import Any

PAGE = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
PROGRAM = {"Accept": "application/json"}
Lines = dict[str, str] | list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What the proxy answers; status 0 where it hangs up without a word."""

    status: int
    headers: HTTPMessage
    body: str

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The error codes of our JSON response."""
        return list(self.json["response"]["error_codes"])


@dataclass
class Visitor:
    """A visitor of the app at ``host``.

    :ivar cookie: of the app; "" for a stranger
    :ivar source: the address on this machine that they come from
    """

    port: int
    host: str
    cookie: str = ""
    source: str = "127.0.0.77"

    def ask(
        self,
        target: str,
        headers: Lines | None = None,
        *,
        method: str = "GET",
        body: str = "",
        host: str = "",
        tail: str = "",
    ) -> Answer:
        """Send a request as it is written here, and return the answer.

        :param tail: what follows the head, without a length of it
        """
        with self._sent(target, PAGE if headers is None else headers, method, body, host) as connection:
            connection.sendall(tail.encode())
            return _read(connection, method)

    def socket(self, target: str, headers: dict[str, str], text: str = "hello") -> tuple[Answer, str]:
        """Open a WebSocket, send a text, and return the answer and what came back ("" without a connection)."""
        key = base64.b64encode(os.urandom(16)).decode()
        opening = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        lines = list((opening | {"Sec-WebSocket-Key": key} | headers).items())
        with self._sent(target, lines, "GET", "", "", ends=False) as connection:
            answer = _read(connection, "GET")
            if answer.status != 101:
                return answer, ""
            masked = bytes(byte ^ mask for byte, mask in zip(text.encode(), b"\x01\x02\x03\x04" * 32, strict=False))
            connection.sendall(struct.pack("!BB", 0x81, 0x80 | len(masked)) + b"\x01\x02\x03\x04" + masked)
            frame = b""
            while len(frame) < 2 + len(text) and (more := connection.recv(1024)):
                frame += more
            return answer, frame[2:].decode()

    @contextmanager
    def _sent(
        self, target: str, headers: Lines, method: str, body: str, host: str, *, ends: bool = True
    ) -> Iterator[ssl.SSLSocket]:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.host}"]
        lines += ["Connection: close"] if ends and "Connection" not in dict(_pairs(headers)) else []
        lines += [f"Cookie: {self.cookie}"] if self.cookie else []
        lines += [f"{name}: {value}" for name, value in _pairs(headers)]
        lines += [f"Content-Length: {len(body)}"] if body else []
        with self._connected() as connection:
            connection.sendall(("\r\n".join([*lines, "", ""]) + body).encode("latin-1"))
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[ssl.SSLSocket]:
        with socket.create_connection(("127.0.0.1", self.port), 10, (self.source, 0)) as plain:
            # Else what follows the handshake waits for 40 ms until that is acknowledged.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with _trusting().wrap_socket(plain, server_hostname=self.host) as connection:
                yield connection


@cache
def _trusting() -> ssl.SSLContext:
    """Return what believes each certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _pairs(headers: Lines) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, dict) else headers


def _read(connection: ssl.SSLSocket, method: str) -> Answer:
    answer = HTTPResponse(connection, method=method)
    try:
        answer.begin()
        body = "" if answer.status == 101 else answer.read().decode()
    except (ConnectionError, ssl.SSLError) as _hung_up:
        return Answer(0, HTTPMessage(), "")
    return Answer(answer.status, answer.headers, body)
