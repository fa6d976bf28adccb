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

BARE: Final = frozenset(("CONTENT_TYPE", "CONTENT_LENGTH"))
"""CGI variables (RFC 3875, 4.1) without the ``HTTP_`` prefix."""

NO_LIST: Final = frozenset((b"host", b"content-length", b"content-type"))
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
        if name not in BARE:
            name = f"HTTP_{name}"
        text = value.decode("latin-1")
        before = environ.get(name)
        if before is None:
            environ[name] = text
        elif raw in NO_LIST:
            if before != text or raw == b"host":
                raise AmbiguousRequest(name)
        else:  # only cookies are joined with semicolons (RFC 9113, 8.2.3)
            environ[name] = f"{before}{'; ' if raw == b'cookie' else ', '}{text}"


log = structlog.get_logger()

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[str, str]]

BODY_WITHIN: Final = 15.0
"""Seconds to receive a body."""

RETRY_AFTER: Final = "2"

ALIVE: Final = "/healthz"
"""Liveness check. It has its own thread, so that a process isn't killed because its database is unavailable."""

REFUSALS: Final = {
    400: ("body_incomplete", "The request ended before its body was whole."),
    408: ("body_late", "The request's body did not arrive in time."),
    411: ("length_required", "A body must be announced by its length (Content-Length)."),
    500: ("internal_server_error", "Something went wrong on our side. Try again in a moment."),
    503: ("busy", "Too many requests at once. Try again in a moment."),
}
AMBIGUOUS: Final = ("bad_request", "A header stands in the request twice that may stand there once.")


BUSY_REMEDY: Final = "Look whether the database is slow (flask doctor). Else serve with more --workers or --threads."

REPORT_AFTER: Final = 5.0
"""Seconds after a rejected request during which further ones are counted into the same log line."""


class Refusal(Exception):
    """A request rejected without calling the application."""

    def __init__(self, status: int, code: str = "", text: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code, self.text = (code, text) if code else REFUSALS[status]


class WsgiAdapter:
    """ASGI application that runs a WSGI application in a thread pool."""

    def __init__(
        self,
        application: WSGIApplication,
        *,
        pool: ThreadPool,
        largest_body: int,
        headers: Headers = (),
        larger: Mapping[str, int] | None = None,
        sub_path: str = "",
    ) -> None:
        """Wrap ``application``.

        :param headers: sent with responses generated here
        :param larger: maximum body sizes for everything below certain paths
        :param sub_path: prefix that the application's paths may have
        """
        self.application = application
        self.largest_body = largest_body
        self._larger = {start + path: most for start in {"", sub_path} for path, most in (larger or {}).items()}
        self.headers = headers
        self._pool = pool
        self._alive = ThreadPool(1, 1)
        self._asks_if_alive = frozenset((ALIVE, sub_path + ALIVE))
        self._turned_away = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, headers, body = await self._answer(scope, receive)
        except Refusal as refusal:
            metrics.TURNED_AWAY.count(str(refusal.status))
            status, headers, body = refused(refusal, scope, self.headers)
        except Exception:  # not the application's, which handles its own errors
            log.exception("server.request_failed")
            status, headers, body = refused(Refusal(500), scope, self.headers)
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        try:
            environ = environ_of(scope)
        except AmbiguousRequest:
            raise Refusal(400, *AMBIGUOUS) from None
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise Refusal(411)
        announced = int(environ.get("CONTENT_LENGTH") or 0)
        if (
            0 < announced <= self._most_at(environ["PATH_INFO"])
        ):  # the application rejects larger ones without reading them
            environ["wsgi.input"] = io.BytesIO(await read(receive, announced))
        pool = self._alive if environ["PATH_INFO"] in self._asks_if_alive else self._pool
        try:
            return await pool.run(partial(run, self.application, environ))
        except Busy:
            self._note_busy()
            raise Refusal(503) from None

    def _most_at(self, path: str) -> int:
        """Return the maximum body size at a path."""
        below = (most for place, most in self._larger.items() if path.startswith(f"{place}/"))
        return max(below, default=self.largest_body)

    def _note_busy(self) -> None:
        """Count rejected requests for the log, since the application, which logs requests, never sees them."""
        self._turned_away += 1
        if self._turned_away == 1:
            asyncio.get_running_loop().call_later(REPORT_AFTER, self._report_busy)

    def _report_busy(self) -> None:
        log.warning("server.busy", turned_away=self._turned_away, remedy=BUSY_REMEDY)
        self._turned_away = 0


async def read(receive: Receive, announced: int) -> bytes:
    """Read and return a body of the announced length.

    :raises Refusal: 400 if the connection ended first, 408 if the body didn't arrive in time
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_WITHIN):
            while len(body) < announced:
                message = await receive()
                if message["type"] != "http.request":
                    break
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refusal(408) from None
    if len(body) != announced:
        raise Refusal(400)
    return body


def run(application: WSGIApplication, environ: WSGIEnvironment) -> tuple[int, Headers, bytes]:
    """Call the application; return status, headers and the whole body."""
    started: list[tuple[str, Headers]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Headers, failed: Any = None) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return written.append

    body = whole(application(environ, start_response))
    status, headers = started[0]
    return int(status[:3]), headers, b"".join([*written, body])


def whole(answer: Iterable[bytes]) -> bytes:
    """Return the whole body of a response, and close it as WSGI (PEP 3333) requires."""
    try:
        return b"".join(answer)
    finally:
        close: Callable[[], None] | None = getattr(answer, "close", None)
        if close is not None:
            close()


def refused(refusal: Refusal, scope: Scope, more: Headers) -> tuple[int, Headers, bytes]:
    """Return the response to a rejected request, as JSON if the client sent or accepts it, and close the connection."""
    said = b" ".join(value for name, value in scope["headers"] if name in (b"content-type", b"accept"))
    if b"application/json" in said or b"+json" in said:
        response = {"error_codes": [refusal.code], "errors": [refusal.text]}
        kind, body = "application/json", orjson.dumps({"meta": {"code": refusal.status}, "response": response})
    else:
        kind, body = "text/plain; charset=utf-8", refusal.text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close"), *more]
    if refusal.status == 503:
        headers.append(("Retry-After", RETRY_AFTER))
    return refusal.status, headers, body
