"""A worker's periodic work: heartbeat, periodic tasks, backlog report, cleanup."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from app.crypto import secrets
from app.db import unavailable
from app.db.retention import registered_cleanups
from app.extensions import db
from app.outbox import backlog, leases, roles
from app.outbox.service import periodic_tasks

if TYPE_CHECKING:
    from config.settings import Settings

log = structlog.get_logger()

PRUNE_EVERY = 600.0
PAUSE = 0.05
"""Seconds between two batches, so that whoever waits for the write lock gets it."""

TELL_EVERY = 60.0
"""Seconds between two log lines about what is parked."""


class Upkeep:
    """The upkeep of one worker. Its methods need an app context."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self.settings = settings
        self.stop = stop
        self.name = secrets.row_id()
        self._tell_at = time.monotonic()

    def sweep(self) -> None:
        """Say that this worker runs, let each feeder put messages in until none is left, and tell what is parked."""
        roles.beat(self.name)
        feed(self.stop)
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + TELL_EVERY
            backlog.tell()

    def prune(self) -> None:
        """Delete what is past its time, batch by batch, unless another worker is at it."""
        for prune in (lambda: leases.prune(self.settings.outbox_keep), *registered_cleanups()):
            while roles.hold(roles.PRUNING, self.name) and prune() and not self.stop.wait(PAUSE):
                pass
            if self.stop.is_set():
                return


def feed(stop: threading.Event) -> None:
    """Let feeders take turns, a batch each, until none has anything left or ``stop`` is set."""
    hungry = periodic_tasks()
    while hungry and not stop.is_set():
        hungry = [feeder for feeder in hungry if _feed(feeder)]


def _feed(feeder: Callable[[], bool]) -> bool:
    """Let a feeder put a batch in; return whether there may be more. When it fails, others go on."""
    try:
        more = feeder()
        db.session.commit()
    except Exception as error:  # a feeder belongs to another package
        named = {"feeder": getattr(feeder, "__qualname__", ""), "error": type(error).__name__}
        if unavailable(error):  # what it would have put in is found again
            log.warning("outbox.cannot_feed", **named)
        else:
            log.exception("outbox.cannot_feed", **named)
        db.session.rollback()
        return False
    return more
