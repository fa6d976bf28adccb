"""Keys of encryption at rest: which columns are under which, and which the running processes can read with."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import lru_cache
from typing import Any, Protocol

import sqlalchemy as sa
import structlog

from app import clock
from app.authenticators.models import KeyAnnouncement
from app.challenges.models import Challenge
from app.challenges.passcodes import challenge_context, enrolled_context
from app.crypto import secrets
from app.enrollments.models import IS_SEALED, SEALED_UNDER, Enrollment
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


SEALED: tuple[tuple[Any, Callable[[Any], tuple[str, ...]]], ...] = (
    (Enrollment, enrolled_context),
    (Challenge, challenge_context),
)
"""Every table with a sealed ``secret``, and what that is sealed to."""


_KEYS_IN_USE = """
    WITH RECURSIVE used (kid) AS (
        SELECT min({key}) FROM {table} WHERE {sealed}
        UNION ALL
        SELECT (SELECT min({key}) FROM {table} WHERE {sealed} AND {key} > used.kid) FROM used WHERE used.kid IS NOT NULL
    )
    SELECT kid FROM used WHERE kid IS NOT NULL
"""
"""From one key to the next by the index: as many steps as there are keys, however many rows."""


def keys_in_use() -> set[str]:
    """Return the ids of all keys under which something is sealed, those that are not in the ring included."""
    found: set[str] = set()
    for model, _context in SEALED:
        values = {"key": SEALED_UNDER, "table": model.__tablename__, "sealed": IS_SEALED}
        found.update(db.session.scalars(sa.text(_KEYS_IN_USE.format_map(values))))
    return found


def sealed_rows() -> Counter[str]:
    """Return how many rows are sealed under each key, by its id, keys that are not in the ring included.

    Reads every row: for an operator who asks, not for a start.
    """
    counts: Counter[str] = Counter()
    for model, _context in SEALED:
        kid = sa.func.substr(model.secret, 4, 8)
        for found, count in db.session.execute(sa.select(kid, sa.func.count()).where(model.secret != "").group_by(kid)):
            counts[found] += count
    return counts
