"""What stands between the server's threads and the application: body first, then a place.

The server hands over a request as soon as its head is there, and reading the body holds a thread. So there are
many cheap threads that may wait for bodies, and few places in the application: a place is taken only when the
whole body has come, and given back before the answer leaves. Bodies that never come are ended by
:mod:`app.serving.stuck`.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.serving.places import Places

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RETRY_AFTER: Final = "2"

ALIVE: Final = "/healthz"
"""Asks whether this process lives. It needs no place, so that a process whose database is away is not killed."""

REFUSALS: Final = {
    400: ("400 Bad Request", "body_incomplete", "The request ended before its body was whole."),
    411: ("411 Length Required", "length_required", "A body must be announced by its length (Content-Length)."),
    503: ("503 Service Unavailable", "busy", "Too many requests at once. Try again in a moment."),
}


class Gate:
    """The application as the server sees it. ``reading`` holds when each body now awaited was begun (monotonic s)."""

    def __init__(self, application: WSGIApplication, *, places: Places, largest_body: int) -> None:
        self.application = application
        self.largest_body = largest_body
        self.reading: dict[int, float] = {}
        self._numbers = itertools.count()
        self._places = places

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_TRANSFER_ENCODING" in environ:
            return refused(411, environ, start_response)
        announced = int(environ.get("CONTENT_LENGTH") or 0)
        if 0 < announced <= self.largest_body:
            body = self._read(environ["wsgi.input"], announced)
            if len(body) != announced:
                return refused(400, environ, start_response)
            environ["wsgi.input"] = io.BytesIO(body)
        else:  # none, or one so large that the application says no without reading it
            environ["wsgi.input"] = io.BytesIO()
        if environ["PATH_INFO"] == ALIVE:
            return [whole(self.application(environ, start_response))]
        since = self._places.take()
        if since is None:
            return refused(503, environ, start_response)
        try:
            return [whole(self.application(environ, start_response))]
        finally:
            self._places.give(since)

    def _read(self, stream: Any, announced: int) -> bytes:
        """Read a body to its announced end; shorter when the connection ended first."""
        number = next(self._numbers)
        self.reading[number] = time.monotonic()
        try:
            return bytes(stream.read(announced))
        finally:
            del self.reading[number]


def whole(answer: Iterable[bytes]) -> bytes:
    """Return all of an answer's body, and close it as WSGI (PEP 3333) asks."""
    try:
        return b"".join(answer)
    finally:
        close: Callable[[], None] | None = getattr(answer, "close", None)
        if close is not None:
            close()


def refused(status: int, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer without the application, in JSON for who sent or wants JSON, and end the connection."""
    line, code, text = REFUSALS[status]
    sent, liked = environ.get("CONTENT_TYPE", ""), environ.get("HTTP_ACCEPT", "")
    if "application/json" in sent + liked or "+json" in sent:
        response = {"error_codes": [code], "errors": [text]}
        kind, body = "application/json", orjson.dumps({"meta": {"code": status}, "response": response})
    else:
        kind, body = "text/plain; charset=utf-8", text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    headers += [("X-Content-Type-Options", "nosniff"), ("Connection", "close")]
    if status == 503:
        headers.append(("Retry-After", RETRY_AFTER))
    start_response(line, headers)
    return [body]
