"""ASGI adapter for the application: reads the body first, then runs the request in a thread.

The server passes on a request as soon as it has the headers. The event loop reads the body, since it can wait for a
thousand of them as easily as for one, and only a complete request gets one of the few threads. Bodies that don't arrive
in time are rejected.

The WSGI environment (PEP 3333) is built here, because a server's own can't be configured. Header names with an
underscore are dropped: ``X_Forwarded_For`` would map to the same variable as ``X-Forwarded-For``, so a header from the
proxy couldn't be distinguished from one sent by the client. Values are decoded as Latin-1, as PEP 3333 requires,
whatever their bytes: RFC 9110 (5.5) allows all above 0x7F.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import orjson
import structlog

from app import metrics
from app.serving.thread_pool import Busy, ThreadPool

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

UNPREFIXED: Final = frozenset(("CONTENT_TYPE", "CONTENT_LENGTH"))
"""CGI variables (RFC 3875, 4.1) without the ``HTTP_`` prefix."""

SINGLE_VALUE_HEADERS: Final = frozenset((b"host", b"content-length", b"content-type"))
"""Headers that may occur only once. A second, different value would make the request ambiguous (RFC 9112, 3.2)."""


class AmbiguousRequest(ValueError):
    """A request that can be interpreted in two ways."""


def environ_of(scope: Mapping[str, Any]) -> WSGIEnvironment:
    """Return the WSGI environment of a request, with an empty body for now.

    :param scope: ASGI scope of type ``http``
    :raises AmbiguousRequest: when a header that may occur only once is repeated
    """
    host, port = scope["server"] or ("", None)
    client = scope["client"] or ("", 0)
    path = scope.get("raw_path") or scope["path"].encode()
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "RAW_URI": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    add_headers(environ, scope["headers"])
    return environ


def add_headers(environ: WSGIEnvironment, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Add headers to the environment. Headers with the same name are joined in order (RFC 9110, 5.3).

    :raises AmbiguousRequest: as ``environ_of``
    """
    for raw, value in headers:
        if b"_" in raw or raw == b"connection":  # connection is hop-by-hop (RFC 9110, 7.6.1)
            continue
        name = raw.decode("latin-1").upper().replace("-", "_")
        if name not in UNPREFIXED:
            name = f"HTTP_{name}"
        text = value.decode("latin-1")
        existing = environ.get(name)
        if existing is None:
            environ[name] = text
        elif raw in SINGLE_VALUE_HEADERS:
            if existing != text or raw == b"host":
                raise AmbiguousRequest(name)
        else:  # only cookies are joined with semicolons (RFC 9113, 8.2.3)
            environ[name] = f"{existing}{'; ' if raw == b'cookie' else ', '}{text}"


log = structlog.get_logger()

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[str, str]]

BODY_TIMEOUT: Final = 15.0
"""Seconds to receive a body."""

RETRY_AFTER: Final = "2"

LIVENESS_PATH: Final = "/healthz"
"""Liveness check. It has its own thread, so that a process isn't killed because its database is unavailable."""

REJECTIONS: Final = {
    400: ("body_incomplete", "The request ended before its body was complete."),
    408: ("body_late", "The request's body did not arrive in time."),
    411: ("length_required", "A request with a body needs a Content-Length header."),
    500: ("internal_server_error", "Something went wrong on our side. Try again in a moment."),
    503: ("busy", "Too many requests at once. Try again in a moment."),
}
AMBIGUOUS: Final = ("bad_request", "A header that may occur only once was sent twice.")


BUSY_REMEDY: Final = "Check whether the database is slow (flask doctor). If it isn't, use more --workers or --threads."

BUSY_REPORT_DELAY: Final = 5.0
"""Seconds after a rejected request during which further ones are counted into the same log line."""


class RequestRejected(Exception):
    """A request rejected without calling the application."""

    def __init__(self, status: int, code: str = "", text: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code, self.text = (code, text) if code else REJECTIONS[status]


class WsgiAdapter:
    """ASGI application that runs a WSGI application in a thread pool."""

    def __init__(
        self,
        application: WSGIApplication,
        *,
        pool: ThreadPool,
        max_body: int,
        headers: Headers = (),
        path_limits: Mapping[str, int] | None = None,
        sub_path: str = "",
    ) -> None:
        """Wrap ``application``.

        :param headers: sent with responses generated here
        :param path_limits: maximum body sizes for everything below certain paths
        :param sub_path: prefix that the application's paths may have
        """
        self.application = application
        self.max_body = max_body
        self._path_limits = {
            start + path: most for start in {"", sub_path} for path, most in (path_limits or {}).items()
        }
        self.headers = headers
        self._pool = pool
        self._liveness_pool = ThreadPool(1, 1)
        self._liveness_paths = frozenset((LIVENESS_PATH, sub_path + LIVENESS_PATH))
        self._rejected_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, headers, body = await self._respond(scope, receive)
        except RequestRejected as rejection:
            metrics.TURNED_AWAY.count(str(rejection.status))
            status, headers, body = error_response(rejection, scope, self.headers)
        except Exception:  # not the application's, which handles its own errors
            log.exception("server.request_failed")
            status, headers, body = error_response(RequestRejected(500), scope, self.headers)
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        try:
            environ = environ_of(scope)
        except AmbiguousRequest:
            raise RequestRejected(400, *AMBIGUOUS) from None
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise RequestRejected(411)
        content_length = int(environ.get("CONTENT_LENGTH") or 0)
        if (
            0 < content_length <= self._max_body_at(environ["PATH_INFO"])
        ):  # the application rejects larger ones without reading them
            environ["wsgi.input"] = io.BytesIO(await receive_body(receive, content_length))
        pool = self._liveness_pool if environ["PATH_INFO"] in self._liveness_paths else self._pool
        try:
            return await pool.run(partial(call_application, self.application, environ))
        except Busy:
            self._count_busy()
            raise RequestRejected(503) from None

    def _max_body_at(self, path: str) -> int:
        """Return the maximum body size at a path."""
        below = (most for prefix, most in self._path_limits.items() if path.startswith(f"{prefix}/"))
        return max(below, default=self.max_body)

    def _count_busy(self) -> None:
        """Count rejected requests for the log, since the application, which logs requests, never sees them."""
        self._rejected_count += 1
        if self._rejected_count == 1:
            asyncio.get_running_loop().call_later(BUSY_REPORT_DELAY, self._report_busy)

    def _report_busy(self) -> None:
        log.warning("server.busy", turned_away=self._rejected_count, remedy=BUSY_REMEDY)
        self._rejected_count = 0


async def receive_body(receive: Receive, content_length: int) -> bytes:
    """Read and return a body of the announced length.

    :raises RequestRejected: 400 if the connection ended first, 408 if the body didn't arrive in time
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while len(body) < content_length:
                message = await receive()
                if message["type"] != "http.request":
                    break
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise RequestRejected(408) from None
    if len(body) != content_length:
        raise RequestRejected(400)
    return body


def call_application(application: WSGIApplication, environ: WSGIEnvironment) -> tuple[int, Headers, bytes]:
    """Call the application; return status, headers and the whole body."""
    started: list[tuple[str, Headers]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Headers, failed: Any = None) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return written.append

    body = read_body(application(environ, start_response))
    status, headers = started[0]
    return int(status[:3]), headers, b"".join([*written, body])


def read_body(chunks: Iterable[bytes]) -> bytes:
    """Return the whole body of a response, and close it as WSGI (PEP 3333) requires."""
    try:
        return b"".join(chunks)
    finally:
        close: Callable[[], None] | None = getattr(chunks, "close", None)
        if close is not None:
            close()


def error_response(rejection: RequestRejected, scope: Scope, more: Headers) -> tuple[int, Headers, bytes]:
    """Return the response to a rejected request, as JSON if the client sent or accepts it, and close the connection."""
    client_types = b" ".join(value for name, value in scope["headers"] if name in (b"content-type", b"accept"))
    if b"application/json" in client_types or b"+json" in client_types:
        response = {"error_codes": [rejection.code], "errors": [rejection.text]}
        kind, body = "application/json", orjson.dumps({"meta": {"code": rejection.status}, "response": response})
    else:
        kind, body = "text/plain; charset=utf-8", rejection.text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close"), *more]
    if rejection.status == 503:
        headers.append(("Retry-After", RETRY_AFTER))
    return rejection.status, headers, body
