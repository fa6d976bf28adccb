"""Metrics for Prometheus on an address of their own, and traces for OpenTelemetry.

Guarantees that they never identify a person, that their cardinality doesn't grow with what strangers type, and that a
scrape is answered within seconds even while the database is unavailable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Set up metrics for a standalone worker and traces for every process, if configured."""
    from app.monitoring import opentelemetry
    from app.outbox import worker

    app.extensions.setdefault(worker.STARTUP_HOOKS, []).append(show_worker)
    opentelemetry.init_app(app)


def show_worker(app: Flask) -> None:
    """Collect metrics in this process and serve them from a thread, if an address is configured."""
    from app import metrics

    address = app.extensions["latchkey.settings"].metrics_listen
    if not address:
        return
    from app.monitoring import listener

    server = listener.bind(app, address, metrics.turn_on())
    count_statements(app)
    metrics.PROCESSES.count("worker")
    listener.serve_in_thread(server)


def count_statements(app: Any) -> None:
    """Time this process's SQL statements."""
    from app.extensions import db
    from app.monitoring.statements import time_statements

    with app.app_context():
        time_statements(db.engine)
