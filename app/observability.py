"""Request ids, support ids, and one log line per request.

Log lines contain route templates, never raw paths or queries, because a link's path is a secret.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from flask import Flask, Response, g, request

from app import metrics
from app.crypto import secrets
from app.extensions import settings
from app.version import VERSION
from app.web.client import UNKNOWN, client_address, forwarded
from app.web.headers import HEALTH_CHECK_PATHS

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
"""Format of request ids accepted from a proxy. They appear unchanged in log lines and events."""

REPEAT_INTERVAL = 3600.0
"""Seconds between two warnings that client addresses can't be determined."""

_warned_at: dict[str, float] = {}
"""When this process last logged that warning, by reason."""

_bound: dict[str, Any] = {}
"""The request logger, bound once when logging is configured instead of for every line."""


def configure_logging(level: str, form: str, replica: str = "") -> None:
    """Write all log lines of this process to standard error.

    :param form: ``json`` or ``text``
    :param replica: name of this replica, added to each JSON line
    """

    def add_time_and_process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["timestamp"] = datetime.now(UTC)  # orjson formats it, in a fifth of the time that TimeStamper takes
        event["process"], event["replica"], event["version"] = os.getpid(), replica, VERSION
        return event

    level_number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.processors.add_log_level,
        count_trouble,
        add_time_and_process if form == "json" else structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
    ]
    if form == "json":
        render: list[Any] = [structlog.processors.JSONRenderer(serializer=_dumps)]
        factory: Any = structlog.BytesLoggerFactory(file=sys.stderr.buffer)
    else:
        render, factory = [structlog.dev.ConsoleRenderer(colors=False)], structlog.PrintLoggerFactory(file=sys.stderr)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    bind_request_log()
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(serializer=lambda event, **_: _dumps(event).decode()),
                ],
                foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            )
        )
    logging.basicConfig(level=max(level_number, logging.WARNING), handlers=[handler], force=True)
    logging.captureWarnings(form == "json")


def count_trouble(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Count warnings and errors, ours or a library's, so that one metric shows all trouble. A structlog processor."""
    level = event["level"]
    if level == "warning":
        metrics.LOGGED.count("warning")
    elif level in ("error", "critical"):
        metrics.LOGGED.count("error")
    return event


def bind_request_log() -> None:
    """Bind the request logger to the current logging configuration."""
    _bound["log"] = structlog.get_logger("latchkey.request").bind()


def begin_request() -> None:
    """Set the request's ids and client address (a ``before_request`` function)."""
    g.began = time.perf_counter()
    metrics.begin_request()
    g.request_id = request_id(request.environ, settings.trusted_proxies)
    g.support_id = secrets.reference(8)
    g.client_address = client_address(request.environ, settings.trusted_proxies)
    if g.client_address == UNKNOWN and request.path not in HEALTH_CHECK_PATHS:
        warn_of_unknown_address(request.environ, settings.trusted_proxies)


def request_id(environ: Mapping[str, str], trusted_proxies: int) -> str:
    """Return the request id set by a trusted proxy (X-Request-ID), else a new one."""
    header = environ.get("HTTP_X_REQUEST_ID", "") if trusted_proxies > 0 else ""
    return header if REQUEST_ID.fullmatch(header) else secrets.row_id()


def warn_of_unknown_address(environ: Mapping[str, str], trusted_proxies: int) -> None:
    """Warn once an hour that client addresses can't be determined, because such clients share one strict limit."""
    entries = len(forwarded(environ))
    reason = "too_few_entries" if entries < trusted_proxies else "unreadable"
    now = time.monotonic()
    if now - _warned_at.get(reason, -REPEAT_INTERVAL) >= REPEAT_INTERVAL:
        _warned_at[reason] = now
        structlog.get_logger().warning(
            "request.address_unknown", reason=reason, entries=entries, trusted_proxies=trusted_proxies
        )


def end_request(response: Response) -> Response:
    """Write the request's log line (an ``after_request`` function)."""
    response.headers["X-Request-Id"] = g.get("request_id", "")
    now = time.perf_counter()
    seconds = now - g.get("began", now)
    method, rule = request.method, request.url_rule
    route = rule.rule if rule else "-"
    metrics.end_request(kept=response.status_code < 500)
    counted = method if method in metrics.METHODS else metrics.OTHER
    metrics.REQUESTS.observe(seconds, route, counted, f"{response.status_code // 100}xx")
    _bound["log"].info(
        "request",
        method=method,
        route=route,
        status=response.status_code,
        ms=round(seconds * 1000, 1),
        request_id=g.get("request_id", ""),
        support_id=g.get("support_id", ""),
        address=g.get("client_address", ""),
    )
    return response


def init_app(app: Flask) -> None:
    """Configure logging, and log every request of ``app``."""
    configured = app.extensions["latchkey.settings"]
    configure_logging(configured.log_level, configured.log_format, configured.replica)
    for warning in configured.warnings:
        structlog.get_logger().warning(
            "settings.warning", setting=warning.setting, what=warning.what, remedy=warning.remedy
        )
    app.before_request(begin_request)
    app.after_request(end_request)


def _dumps(event: dict[str, Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z)
