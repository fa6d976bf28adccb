"""The worker's threads for events: apart from those of messages, which wait for none of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from app.outbox.schedule import LOOK_EVERY, Schedule
from app.outbox.worker import AFTER_TROUBLE, App
from app.webhooks.delivery import Queue, send
from app.webhooks.models import WebhookDelivery

log = structlog.get_logger()

THREADS = 8
IDLE = 0.5
"""Seconds after which a thread looks whether it should stop."""


class Deliverer:
    """Posts what is due. Endpoints take turns: a slow one has one thread, and all such leave one to the others."""

    def __init__(self, app: App, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        every = app.extensions["latchkey.settings"].outbox_sweep_every.total_seconds()
        self._schedule: Schedule[WebhookDelivery] = Schedule(THREADS, min(LOOK_EVERY, every), Queue())
        self.threads: Mapping[str, Callable[[], None]] = {f"webhooks-{number}": self.run for number in range(THREADS)}
        self.wake = self._schedule.wake
        self.close = self._schedule.close

    def run(self) -> None:
        """Post batch after batch."""
        while not self._stop.is_set():
            try:
                with self._app.app_context():
                    if taken := self._schedule.take(IDLE):
                        self._send(*taken)
            except Exception as error:  # the database is away; rows whose lease ends are due again
                log.warning("webhooks.cannot_deliver", error=type(error).__name__)
                self._stop.wait(AFTER_TROUBLE)

    def _send(self, endpoint_id: str, deliveries: list[WebhookDelivery]) -> None:
        began, tried = time.monotonic(), 1
        try:
            tried = sum(outcome.counts for outcome in send(endpoint_id, deliveries))
        finally:
            self._schedule.done(endpoint_id, (time.monotonic() - began) / max(1, tried))
