"""An app's site: a real local HTTPS server for its metadata document, well-behaved or hostile."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import write_certificate

HOST = "agent.example.com"
NAMES = (HOST, "localhost", "other.example.com")


class QuietServer(ThreadingHTTPServer):
    """Ignores clients that hang up."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing."""


class DocumentSite:
    """Serves ``documents`` by path, with ``headers``. ``answer``, if set, writes the response itself instead.

    :ivar asked: requested paths
    :ivar certificate: path of the certificate file that clients must trust
    """

    def __init__(self, folder: Path) -> None:
        self.documents: dict[str, Any] = {}
        self.headers = {"Content-Type": "application/json"}
        self.status = 200
        self.answer: Callable[[Any, threading.Event], None] | None = None
        self.asked: list[str] = []
        self.certificate = folder / "site.crt"
        self._over = threading.Event()
        write_certificate(self.certificate, folder / "site.key", *NAMES, addresses=("127.0.0.1",))
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, folder / "site.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    def url(self, path: str = "/client.json", host: str = HOST) -> str:
        """Return a URL on this site."""
        return f"https://{host}:{self.port}{path}"

    def publish(self, path: str = "/client.json", host: str = HOST, **metadata: Any) -> str:
        """Publish a document with these members changed, or removed if None. Return its client ID."""
        url = self.url(path, host)
        usual = {
            "client_id": url,
            "client_name": "An agent",
            "redirect_uris": [self.url("/callback", host), "http://127.0.0.1:33418/"],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }
        self.documents[path] = {name: value for name, value in (usual | metadata).items() if value is not None}
        return url

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(site) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the request's handler below
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                with contextlib.suppress(OSError):
                    if site.answer is not None:
                        site.answer(self, site._over)
                    else:
                        self.send_document()

            def send_document(self) -> None:
                found = site.documents.get(self.path)
                body = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(site.status if found is not None else 404)
                for name, value in ({"Content-Length": str(len(body))} | site.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Log nothing."""

        return Handler


class Names:
    """DNS results by host name: ``names["agent.example.com"] = ["127.0.0.1"]``; ``asked`` records the lookups.

    If the value is a function, it is called at each lookup.
    """

    def __init__(self) -> None:
        self.known: dict[str, Any] = {name: ["127.0.0.1"] for name in NAMES}
        self.asked: list[str] = []

    def __setitem__(self, host: str, addresses: Any) -> None:
        self.known[host] = addresses

    def getaddrinfo(self, host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        """Replace the system's resolver."""
        if host not in self.known:
            return _getaddrinfo(host, port, *args, **more)
        self.asked.append(host)
        found = self.known[host]
        addresses = found() if callable(found) else found
        return [each for address in addresses for each in _getaddrinfo(address, port, *args, **more)]


_getaddrinfo = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Lets a test choose what host names resolve to; the site's own names resolve to this machine."""
    known = Names()
    monkeypatch.setattr(socket, "getaddrinfo", known.getaddrinfo)
    return known


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names) -> Iterator[DocumentSite]:
    """A site whose certificate is trusted."""
    made = DocumentSite(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    yield made
    made.close()
