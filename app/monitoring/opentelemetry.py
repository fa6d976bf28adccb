"""Traces for OpenTelemetry: a span for each request, its statements, and each delivery.

Configured by the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT and others). Spans are created by hand, since the
usual instrumentation records a request's path and query, which would expose the secrets of links to everyone who can
read traces.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.util import find_spec
from multiprocessing import util
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Response, g, request
from sqlalchemy import event

from app import metrics, spans
from app.extensions import db, settings
from app.version import VERSION
from config.problems import NOT_CONFIGURED

if TYPE_CHECKING:
    from flask import Flask

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
OURS = "http/protobuf"

NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
INSTALL = "Install it: pip install --require-hashes -r requirements/otel.txt"

FLUSH_WITHIN = 2.0
"""Seconds allowed for sending the last spans when a process exits."""

MAX_STATEMENT_LENGTH = 2000
STATEMENT = "latchkey.span"


def is_asked_for() -> bool:
    """Return whether the environment enables traces, by naming an endpoint or an exporter."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(os.environ.get(name) for name in ENDPOINTS)


def refuse_what_we_lack() -> None:
    """Exit with status 78 when the requested exporter or protocol isn't supported, or OpenTelemetry isn't installed."""
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    protocol = next(filter(None, map(os.environ.get, PROTOCOLS)), OURS).strip().lower()
    if exporter != "otlp":
        _refuse(f"OTEL_TRACES_EXPORTER is {exporter!r}.", "Set it to otlp, or to none.")
    if protocol != OURS:
        _refuse(f"traces are sent by {OURS}, not by {protocol!r}.", f"Set OTEL_EXPORTER_OTLP_PROTOCOL={OURS}.")
    if not all(map(_is_installed, NEEDED)):
        _refuse("traces are asked for (OTEL_ variables), but OpenTelemetry is not installed.", INSTALL)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _refuse(what: str, remedy: str) -> None:
    sys.stderr.write(f"Latchkey does not start: {what} {remedy}\n")
    raise SystemExit(NOT_CONFIGURED)


def init_app(app: Flask) -> None:
    """Record spans for ``app`` if the environment enables them."""
    if not is_asked_for():
        return
    refuse_what_we_lack()
    replica = app.extensions["latchkey.settings"].replica
    spans.enable(lambda: make_tracer(replica))
    app.before_request(begin_request)
    app.after_request(note_answer)
    app.teardown_request(end_request)
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", begin_statement, insert=True)
        event.listen(db.engine, "after_cursor_execute", end_statement)
        event.listen(db.engine, "handle_error", fail_statement)


def make_tracer(replica: str) -> Any:
    """Return this process's tracer. A thread exports its spans in batches and once more at exit."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.name": "latchkey", "service.version": VERSION, "service.instance.id": f"{replica}:{os.getpid()}"}
    if os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        del about["service.name"]
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    processor = BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(processor)
    util.Finalize(None, flush, (processor,), exitpriority=10)  # forked processes exit without running atexit functions
    return provider.get_tracer("latchkey", VERSION)


def flush(processor: Any) -> None:
    """Export the recorded spans, waiting briefly so that an unavailable collector doesn't delay shutdown."""
    sending = threading.Thread(target=processor.force_flush, name="last-spans", daemon=True)
    sending.start()
    sending.join(FLUSH_WITHIN)


def begin_request() -> None:
    """Begin the span of a request, as a child of the proxy's span if the proxy is trusted (``before_request``)."""
    from opentelemetry import trace
    from opentelemetry.context import attach
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if (tracer := spans.tracer()) is None:
        return
    trusted = {"traceparent": request.headers.get("traceparent", "")} if settings.trusted_proxies else {}
    method = request.method if request.method in metrics.METHODS else metrics.OTHER
    route = request.url_rule.rule if request.url_rule else ""
    facts = {"http.request.method": method, "latchkey.request_id": g.get("request_id", "")}
    facts |= {"http.route": route} if route else {}
    span = tracer.start_span(
        f"{method} {route}".strip(), TraceContextTextMapPropagator().extract(trusted), trace.SpanKind.SERVER, facts
    )
    g.span, g.span_context = span, attach(trace.set_span_in_context(span))


def note_answer(response: Response) -> Response:
    """Record the response's status on the span (``after_request``)."""
    from opentelemetry.trace import Status, StatusCode

    if (span := g.get("span")) is not None:
        span.set_attribute("http.response.status_code", response.status_code)
        if response.status_code >= 500:
            span.set_attribute("error.type", str(response.status_code))
            span.set_status(Status(StatusCode.ERROR))
    return response


def end_request(_error: BaseException | None = None) -> None:
    """End the span of a request, after its transaction (``teardown_request``)."""
    if (span := g.pop("span", None)) is not None:
        from opentelemetry.context import detach

        detach(g.pop("span_context"))
        span.end()


def begin_statement(conn: sa.Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
    """Begin the span of a statement if there is a parent span. Parameters are omitted."""
    from opentelemetry import trace

    if not trace.get_current_span().is_recording():
        return  # workers poll their tables every second
    verb = statement.split(None, 1)[0].upper()
    system = "sqlite" if conn.dialect.name == "sqlite" else "postgresql"
    facts = {"db.system.name": system, "db.operation.name": verb, "db.query.text": statement[:MAX_STATEMENT_LENGTH]}
    conn.info[STATEMENT] = spans.tracer().start_span(verb, kind=trace.SpanKind.CLIENT, attributes=facts)


def end_statement(conn: sa.Connection, *_rest: Any) -> None:
    """End the span of a statement."""
    if (span := conn.info.pop(STATEMENT, None)) is not None:
        span.end()


def fail_statement(context: Any) -> None:
    """End the span of a failed statement with only the error's type, since its message may quote values."""
    conn = context.connection
    if conn is not None and not conn.invalidated and (span := conn.info.pop(STATEMENT, None)) is not None:
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute("error.type", type(context.original_exception).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()
