"""The worker's threads for events: apart from those of messages, which wait for none of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from app.outbox.schedule import LOOK_EVERY, Schedule
from app.outbox.worker import AFTER_TROUBLE, App
from app.webhooks.delivery import Queue, send
from app.webhooks.models import WebhookDelivery

log = structlog.get_logger()

MOST_AT_ONCE = 32
"""Conversations of one worker at a time. So many endpoints, less one, may be slow at once and hold up no other."""

IDLE = 0.5
"""Seconds after which the thread looks whether it should stop."""


class Deliverer:
    """Posts what is due. Endpoints take turns, and one that is slow has one conversation at a time.

    One thread hands out, and the threads that post are started when there is something for them.
    """

    def __init__(self, app: App, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        every = app.extensions["latchkey.settings"].outbox_sweep_every.total_seconds()
        self._schedule: Schedule[WebhookDelivery] = Schedule(MOST_AT_ONCE, min(LOOK_EVERY, every), Queue())
        self.threads: Mapping[str, Callable[[], None]] = {"webhooks": self.run}
        self.wake = self._schedule.wake
        self.close = self._schedule.close

    def run(self) -> None:
        """Post batch after batch until the worker stops; then wait for what is under way."""
        with ThreadPoolExecutor(MOST_AT_ONCE, "webhooks-post") as pool:
            while not self._stop.is_set():
                try:
                    with self._app.app_context():
                        taken = self._schedule.take(IDLE)
                except Exception as error:  # the database is away
                    log.warning("webhooks.cannot_deliver", error=type(error).__name__)
                    self._stop.wait(AFTER_TROUBLE)
                else:
                    if taken:
                        pool.submit(self._send, *taken)

    def _send(self, endpoint_id: str, deliveries: list[WebhookDelivery]) -> None:
        began, tried = time.monotonic(), 1
        try:
            with self._app.app_context():
                tried = sum(outcome.counts for outcome in send(endpoint_id, deliveries))
        except Exception as error:  # the database is away; rows whose lease ends are due again
            log.warning("webhooks.cannot_settle", error=type(error).__name__)
        finally:
            self._schedule.done(endpoint_id, (time.monotonic() - began) / max(1, tried))
