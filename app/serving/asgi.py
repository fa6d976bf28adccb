"""The application as an ASGI server sees it: the body is read first, then a thread runs the request.

The server hands over a request as soon as its head is there. Its body is read by the event loop, which waits for a
thousand of them as easily as for one, and only a whole one gets one of the few threads. Bodies that do not come in
time are refused.

The environment (PEP 3333) is made here, because a server's own can't be configured. Names with an underscore are
left out: ``X_Forwarded_For`` would be the same variable as ``X-Forwarded-For``, and what a proxy wrote could not be
distinguished from what a client sent. Values are Latin-1, as PEP 3333 wants them, whatever their bytes: RFC 9110 (5.5)
allows all above 0x7F.
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
"""Headers that CGI (RFC 3875, 4.1) knows without the prefix."""

NO_LIST: Final = frozenset((b"host", b"content-length", b"content-type"))
"""Headers that may stand once: with a second that differs a request can be read in two ways (RFC 9112, 3.2)."""


class AmbiguousRequest(ValueError):
    """A request that can be read in two ways."""


def environ_of(scope: Mapping[str, Any]) -> WSGIEnvironment:
    """Return the variables of a request, its body still to come.

    :param scope: of ASGI's type ``http``
    :raises Ambiguous: when a header stands twice that may not
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
    """Add headers to the variables; those of one name are joined in their order (RFC 9110, 5.3).

    :raises Ambiguous: as ``environ_of``
    """
    for raw, value in headers:
        if b"_" in raw or raw == b"connection":  # it is about the connection that brought this (RFC 9110, 7.6.1)
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
        else:  # cookies are the one list that has semicolons (RFC 9113, 8.2.3)
            environ[name] = f"{before}{'; ' if raw == b'cookie' else ', '}{text}"


log = structlog.get_logger()

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[str, str]]

BODY_WITHIN: Final = 15.0
"""Seconds for a body."""

RETRY_AFTER: Final = "2"

ALIVE: Final = "/healthz"
"""Asks whether this process lives. It has its own thread: a process whose database is away is not killed."""

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
"""Seconds after a request was turned away in which more are counted, for one line in the log."""


class Refusal(Exception):
    """An answer that is given without the application."""

    def __init__(self, status: int, code: str = "", text: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code, self.text = (code, text) if code else REFUSALS[status]


class WsgiAdapter:
    """The application as an ASGI server sees it."""

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
        """``headers`` go with the answers that are given here.

        :param larger: paths, and how large a body may be below them
        :param sub_path: what may stand before the application's paths
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
        except Exception:  # the application answers for its own faults; this is one of what is around it
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
        ):  # one that is larger the application refuses without reading it
            environ["wsgi.input"] = io.BytesIO(await read(receive, announced))
        pool = self._alive if environ["PATH_INFO"] in self._asks_if_alive else self._pool
        try:
            return await pool.run(partial(run, self.application, environ))
        except Busy:
            self._note_busy()
            raise Refusal(503) from None

    def _most_at(self, path: str) -> int:
        """Return how large a body may be at a path."""
        below = (most for place, most in self._larger.items() if path.startswith(f"{place}/"))
        return max(below, default=self.largest_body)

    def _note_busy(self) -> None:
        """Count rejected requests for the log: the application, which logs every request, never sees them."""
        self._turned_away += 1
        if self._turned_away == 1:
            asyncio.get_running_loop().call_later(REPORT_AFTER, self._report_busy)

    def _report_busy(self) -> None:
        log.warning("server.busy", turned_away=self._turned_away, remedy=BUSY_REMEDY)
        self._turned_away = 0


async def read(receive: Receive, announced: int) -> bytes:
    """Return a body of the announced length.

    :raises Refusal: 400 when the connection ended first, 408 when it did not come in time
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
    """Have the application answer; return status, headers and all of the body."""
    started: list[tuple[str, Headers]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Headers, failed: Any = None) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return written.append

    body = whole(application(environ, start_response))
    status, headers = started[0]
    return int(status[:3]), headers, b"".join([*written, body])


def whole(answer: Iterable[bytes]) -> bytes:
    """Return all of an answer's body, and close it as WSGI (PEP 3333) asks."""
    try:
        return b"".join(answer)
    finally:
        close: Callable[[], None] | None = getattr(answer, "close", None)
        if close is not None:
            close()


def refused(refusal: Refusal, scope: Scope, more: Headers) -> tuple[int, Headers, bytes]:
    """Answer without the application, in JSON to a client that sent or accepts JSON, and close the connection."""
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
