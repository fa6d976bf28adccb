"""The worker's threads for webhooks, separate from those for messages, which never wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from app.outbox.schedule import POLL_INTERVAL, Schedule
from app.outbox.worker import RETRY_DELAY, App
from app.webhooks.delivery import Queue, send
from app.webhooks.models import WebhookDelivery

log = structlog.get_logger()

MAX_CONCURRENT = 32
"""Maximum concurrent requests of one worker. All but one may be to slow endpoints without delaying any other."""

STOP_CHECK_INTERVAL = 0.5
"""Seconds between checks whether the thread should stop."""


class Deliverer:
    """Posts the events that are due. Endpoints take turns, and a slow one gets one request at a time.

    One thread hands out the events, and the threads that post are started when there are any.
    """

    def __init__(self, app: App, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        every = app.extensions["latchkey.settings"].outbox_sweep_every.total_seconds()
        self._schedule: Schedule[WebhookDelivery] = Schedule(MAX_CONCURRENT, min(POLL_INTERVAL, every), Queue())
        self.threads: Mapping[str, Callable[[], None]] = {"webhooks": self.run}
        self.wake = self._schedule.wake
        self.close = self._schedule.close

    def run(self) -> None:
        """Post batch after batch until the worker stops, then wait for those in progress."""
        with ThreadPoolExecutor(MAX_CONCURRENT, "webhooks-post") as pool:
            while not self._stop.is_set():
                try:
                    with self._app.app_context():
                        batch = self._schedule.claim_batch(STOP_CHECK_INTERVAL)
                except Exception as error:  # the database is unavailable
                    log.warning("webhooks.cannot_deliver", error=type(error).__name__)
                    self._stop.wait(RETRY_DELAY)
                else:
                    if batch:
                        pool.submit(self._send, *batch)

    def _send(self, endpoint_id: str, deliveries: list[WebhookDelivery]) -> None:
        began, tried = time.monotonic(), 1
        try:
            with self._app.app_context():
                tried = sum(outcome.is_attempt for outcome in send(endpoint_id, deliveries))
        except Exception as error:  # the database is unavailable; rows are due again once their lease ends
            log.warning("webhooks.cannot_settle", error=type(error).__name__)
        finally:
            self._schedule.done(endpoint_id, (time.monotonic() - began) / max(1, tried))
