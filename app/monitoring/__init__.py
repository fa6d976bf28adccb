"""Figures for Prometheus, at an address of their own, and traces for OpenTelemetry.

Promises that nothing in them names a person or grows with what strangers type, and that a scrape always answers
within seconds, also while the database is away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Have a worker that runs alone show its figures, and every process its traces, where the settings say so."""
    from app.monitoring import opentelemetry
    from app.outbox import worker

    app.extensions.setdefault(worker.BESIDE, []).append(show_worker)
    opentelemetry.init_app(app)


def show_worker(app: Flask) -> None:
    """Count in this process and answer scrapes from a thread of it, if the settings name an address."""
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
    """Have the statements of this process timed."""
    from app.extensions import db
    from app.monitoring.statements import time_statements

    with app.app_context():
        time_statements(db.engine)
