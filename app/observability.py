"""Request ids, support ids, and one JSON log line for each request.

Logged are route templates, never raw paths or queries: a link's path is a secret.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from flask import Flask, Response, g, request

from app.crypto import secrets
from app.extensions import settings
from app.web.client import UNKNOWN, client_address, forwarded
from app.web.headers import MACHINES_ASK

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
"""What a proxy's request id may look like: it stands in log lines and events as it came."""

SAY_AGAIN = 3600.0
"""Seconds between two warnings that addresses of callers can't be read."""

_said_at: dict[str, float] = {}
"""When this process last gave that warning, by its reason."""

_bound: dict[str, Any] = {}
"""The request log, bound when logging is configured and not with every line."""


def configure_logging(level: str, form: str) -> None:
    """Send every log line of this process to standard error.

    :param form: ``json`` or ``text``
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if form == "json" else "%H:%M:%S", utc=form == "json"),
        structlog.processors.format_exc_info,
    ]
    if form == "json":
        render: list[Any] = [structlog.processors.JSONRenderer(serializer=_dumps)]
        factory: Any = structlog.BytesLoggerFactory(file=sys.stderr.buffer)
    else:
        render, factory = [structlog.dev.ConsoleRenderer(colors=False)], structlog.PrintLoggerFactory(file=sys.stderr)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    bind_request_log()
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, force=True)


def bind_request_log() -> None:
    """Bind the request log to what logging is configured as now."""
    _bound["log"] = structlog.get_logger("latchkey.request").bind()


def begin_request() -> None:
    """Give the request its ids and note where it came from (a ``before_request`` function)."""
    g.began = time.perf_counter()
    g.request_id = request_id(request.environ, settings.trusted_proxies)
    g.support_id = secrets.reference(8)
    g.client_address = client_address(request.environ, settings.trusted_proxies)
    if g.client_address == UNKNOWN and request.path not in MACHINES_ASK:
        warn_of_unknown_address(request.environ, settings.trusted_proxies)


def request_id(environ: Mapping[str, str], trusted_proxies: int) -> str:
    """Return the id that a trusted proxy gave this request (X-Request-ID), else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "") if trusted_proxies > 0 else ""
    return given if REQUEST_ID.fullmatch(given) else secrets.row_id()


def warn_of_unknown_address(environ: Mapping[str, str], trusted_proxies: int) -> None:
    """Say once an hour that callers have no address we can read: all of them share one strict limit."""
    entries = len(forwarded(environ))
    reason = "too_few_entries" if entries < trusted_proxies else "unreadable"
    now = time.monotonic()
    if now - _said_at.get(reason, -SAY_AGAIN) >= SAY_AGAIN:
        _said_at[reason] = now
        structlog.get_logger().warning(
            "request.address_unknown", reason=reason, entries=entries, trusted_proxies=trusted_proxies
        )


def end_request(response: Response) -> Response:
    """Write the request's log line (an ``after_request`` function)."""
    response.headers["X-Request-Id"] = g.get("request_id", "")
    _bound["log"].info(
        "request",
        method=request.method,
        route=str(request.url_rule) if request.url_rule else "-",
        status=response.status_code,
        ms=round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1),
        request_id=g.get("request_id", ""),
        support_id=g.get("support_id", ""),
        address=g.get("client_address", ""),
    )
    return response


def init_app(app: Flask) -> None:
    """Configure logging and observe every request of ``app``."""
    configured = app.extensions["latchkey.settings"]
    configure_logging(configured.log_level, configured.log_format)
    app.before_request(begin_request)
    app.after_request(end_request)


def _dumps(event: dict[str, Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=str)
