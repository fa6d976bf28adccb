"""An app without sign-in: it records what reaches it, has a form, and echoes WebSocket messages."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"""<!doctype html><title>Toy</title><link rel="icon" href="data:,"><h1>Toy</h1>
<form method="post" action="/notes"><input name="note" value="milk"><button>Save</button></form>"""
_ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


@dataclass(frozen=True)
class Reached:
    """A request as the app got it.

    :ivar headers: their names in small letters, each line by itself
    """

    method: str
    target: str
    headers: list[tuple[str, str]] = field(repr=False)
    body: str = ""

    def all_of(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each == name.lower()]

    @property
    def opens_socket(self) -> bool:
        """Whether this opens a WebSocket (RFC 6455, section 4.2.1)."""
        connection, upgrade = (",".join(self.all_of(name)).lower() for name in ("Connection", "Upgrade"))
        return "upgrade" in connection and upgrade == "websocket"

    @property
    def as_environ(self) -> dict[str, str]:
        """The headers as a CGI or WSGI app reads them, where ``-`` and ``_`` are the same; empty ones are left out."""
        found: dict[str, str] = {}
        for name, value in self.headers:
            key = name.upper().replace("-", "_").replace(".", "_")
            found[key] = f"{found[key]},{value}" if key in found else value
        return {name: value for name, value in found.items() if value}


class Handler(BaseHTTPRequestHandler):
    """Answers any method."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits for 40 ms
    toy: ToyApp

    def handle_any(self) -> None:
        """Note the request, and answer by its path."""
        length = int(self.headers.get("Content-Length") or 0)
        lines = [(name.lower(), value) for name, value in self.headers.items()]
        seen = Reached(self.command, self.path, lines, self.rfile.read(length).decode("latin-1"))
        self.toy.reached.append(seen)
        if self.toy.answer is not None:
            status, headers, body = self.toy.answer
            self._answer("text/plain", body.encode(), status, headers)
        elif seen.opens_socket:
            self._echo()
        elif self.path == "/form":
            self._answer("text/html", PAGE)
        elif self.path == "/unauthorized":
            self._answer("text/plain", b"the app's own 401", 401)
        else:
            self._answer("application/json", json.dumps(asdict(seen) | {"environ": seen.as_environ}).encode())

    def _answer(self, kind: str, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _echo(self) -> None:
        """Accept a WebSocket and send its first text frame back (RFC 6455, sections 4.2.2 and 5.2)."""
        key = self.headers["Sec-WebSocket-Key"]
        accept = base64.b64encode(hashlib.sha1((key + _ACCEPT).encode()).digest()).decode()
        self.send_response_only(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        head = self.rfile.read(6)
        length = head[1] & 0x7F
        text = bytes(byte ^ head[2 + at % 4] for at, byte in enumerate(self.rfile.read(length)))
        self.wfile.write(struct.pack("!BB", 0x81, length) + text)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


for _method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PROPFIND", "OPTIONS"):
    setattr(Handler, f"do_{_method}", Handler.handle_any)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a proxy that hangs up."""


class ToyApp:
    """It runs in a thread; ``reached`` has what came to it, and ``answer`` what it answers in place of an echo."""

    def __init__(self) -> None:
        self.reached: list[Reached] = []
        self.answer: tuple[int, dict[str, str], str] | None = None
        handler = type("ToyHandler", (Handler,), {"toy": self})
        self._server = _Quiet(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
