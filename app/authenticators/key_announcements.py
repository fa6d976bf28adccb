"""Which keys the running processes can read with, so that nothing is encrypted under one that some lack."""

from __future__ import annotations

import os
import threading
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import lru_cache
from typing import Any, Protocol

import sqlalchemy as sa
import structlog

from app import clock
from app.authenticators.models import KeyAnnouncement
from app.crypto import secrets
from app.extensions import db, keyring

log = structlog.get_logger()

ANNOUNCE_EVERY = timedelta(seconds=10)
DEAD_AFTER = timedelta(seconds=25)
"""A process that has not announced itself for so long does not run any more."""

LOOK_EVERY = 1.0
"""Seconds between two looks of a web process at whether it is time to announce itself, or to try that again."""

AT_ONCE = {"at_once": True, "synchronize_session": False, "in_background": True}

_announced: dict[int, float] = {}


class App(Protocol):
    """What announcing needs of the Flask application."""

    def app_context(self) -> AbstractContextManager[Any]: ...


def announce() -> bool:
    """Note which keys this process can read with, and forget processes that have ended; at most each ANNOUNCE_EVERY.

    A worker does so at its sweeps, a web process in ``keep_announcing``. Each statement is a transaction of its own.
    """
    process, now = os.getpid(), clock.now()
    if time.monotonic() < _announced.get(process, 0) + ANNOUNCE_EVERY.total_seconds():
        return False
    seen = {"kids": " ".join(keyring.kids), "seen_at": now}
    known = (
        sa.update(KeyAnnouncement)
        .where(KeyAnnouncement.id == _holder(process))
        .values(seen)
        .returning(KeyAnnouncement.id)
    )
    if db.session.execute(known, execution_options=AT_ONCE).first() is None:
        first = sa.insert(KeyAnnouncement).values(id=_holder(process), **seen)
        db.session.execute(first, execution_options=AT_ONCE)
    long_dead = sa.delete(KeyAnnouncement).where(KeyAnnouncement.seen_at < now - 2 * DEAD_AFTER)
    db.session.execute(long_dead, execution_options=AT_ONCE)
    _announced[process] = time.monotonic()
    return False


def without(kid: str) -> int:
    """Return how many running processes can't read what is sealed under the key ``kid``."""
    running = db.session.scalars(
        sa.select(KeyAnnouncement.kids).where(KeyAnnouncement.seen_at >= clock.now() - DEAD_AFTER)
    )
    return sum(kid not in kids.split() for kids in running)


def keep_announcing(app: App) -> None:
    """Announce this process from a thread of its own, as long as it lives."""

    def run() -> None:
        while True:
            with app.app_context():
                try:
                    announce()
                except Exception as error:  # the database is away, and so is everything else
                    log.warning("keys.cannot_announce", error=type(error).__name__)
            time.sleep(LOOK_EVERY)

    threading.Thread(target=run, name="announce-keys", daemon=True).start()


@lru_cache
def _holder(process: int) -> str:
    """Return the id under which a process announces itself."""
    return secrets.row_id()
