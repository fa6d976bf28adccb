"""The metrics endpoint: GET /metrics on an address of its own."""

from __future__ import annotations

import os
import socket
import socketserver
import stat
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

from app.monitoring.collector import ServiceCollector
from config import types

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask
    from prometheus_client import CollectorRegistry

log = structlog.get_logger()

PATH = "/metrics"
UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h."""

READ_TIMEOUT = 5.0
"""Timeout in seconds for reading a request and for sending its response."""


class Handler(WSGIRequestHandler):
    """Answers a single request without logging the client."""

    timeout = READ_TIMEOUT

    def log_message(self, *_rest: Any) -> None:
        """Log nothing, since scrapes come every few seconds."""

    def address_string(self) -> str:
        """Return the client's address without a DNS lookup. Empty for a Unix socket."""
        return str(self.client_address[0])


class Listener(socketserver.ThreadingMixIn, WSGIServer):
    """Answers each request in a separate thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, where: tuple[str, int] | str, app: Any) -> None:
        self.path = where if isinstance(where, str) else ""
        """Path of the Unix socket it listens on, or ""."""
        self.address_family = socket.AF_UNIX
        if not isinstance(where, str):
            self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        super().__init__(where, Handler)  # type: ignore[arg-type]
        self.set_app(app)

    def server_bind(self) -> None:
        """Bind without looking up this machine's host name."""
        if self.path:
            remove_stale_socket(self.path)
            self.allow_reuse_address = False
            before = os.umask(0o117)  # accessible to owner and group
            try:
                socketserver.TCPServer.server_bind(self)
            finally:
                os.umask(before)
            self.server_name, self.server_port = "localhost", 0
        else:
            socketserver.TCPServer.server_bind(self)
            self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        """Return a connection and its client's address, as a pair because the handler requires one."""
        connection, address = super().get_request()
        return connection, address or ("", 0)

    def handle_error(self, *_rest: Any) -> None:
        """Log errors, except when the client disconnected."""
        if not isinstance(sys.exception(), OSError):
            log.exception("metrics.failed")


def remove_stale_socket(path: str) -> None:
    """Remove a socket that no process listens on.

    :raises OSError: EADDRINUSE when one does
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)


def restrict_to_metrics(app: Any) -> Any:
    """Restrict a WSGI app to GET and HEAD of /metrics."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Figures are at /metrics.\n"]
        body = app(environ, start_response)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    return answer


def listening(address: str) -> tuple[str, int] | str:
    """Return the parsed listen address, which the settings have already validated."""
    where = types.listener(address)
    assert where is not None
    return where


def bind(app: Flask, address: str, registry: CollectorRegistry | None = None) -> Listener:
    """Listen on ``address`` for scrapes of ``registry`` and the service's state; exit if that fails.

    :param registry: of this process alone; None reads the files of all processes
    """
    from prometheus_client import CollectorRegistry, make_wsgi_app

    whole = registry or CollectorRegistry()
    if registry is None:
        from app.monitoring.collector import FilesCollector

        whole.register(FilesCollector())
    whole.register(ServiceCollector(app))
    try:
        return Listener(listening(address), restrict_to_metrics(make_wsgi_app(whole)))
    except OSError as error:
        exit_unavailable(address, error)


def exit_unavailable(address: str, error: OSError) -> NoReturn:
    """Print that metrics can't be served at this address, and exit."""
    what = f"it can't show metrics at {address} ({error.strerror})."
    remedy = "Each flask serve and flask worker on a machine needs a LATCHKEY_METRICS_LISTEN of its own."
    sys.stderr.write(f"Latchkey does not start: {what} {remedy}\n")
    raise SystemExit(UNAVAILABLE)


def check_bindable(address: str) -> None:
    """Exit if ``address`` can't be bound; otherwise leave it free."""
    try:
        Listener(listening(address), None).server_close()
    except OSError as error:
        exit_unavailable(address, error)


def serve_in_thread(server: Listener) -> None:
    """Serve from a daemon thread of this process."""
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def serve(app: Flask, stop: threading.Event) -> None:
    """Serve until ``stop`` is set. Runs in a child process of ``flask serve``."""
    server = bind(app, app.extensions["latchkey.settings"].metrics_listen)
    serve_in_thread(server)
    stop.wait()
    server.shutdown()
    if server.path:
        with suppress(FileNotFoundError):
            os.unlink(server.path)
