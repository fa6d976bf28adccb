"""Keys for encryption at rest: which columns use them, and which keys the running processes have."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
import structlog

from app import clock
from app.authenticators.models import KeyAnnouncement
from app.challenges.models import Challenge
from app.challenges.passcodes import challenge_context, enrolled_context
from app.crypto import secrets
from app.enrollments.models import Enrollment
from app.extensions import db, keyring, this_app

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

ANNOUNCE_EVERY = timedelta(seconds=10)
DEAD_AFTER = timedelta(seconds=25)
"""A process that hasn't announced itself for this long is considered dead."""

LOOK_EVERY = 1.0
"""Seconds between checks in a web process whether it has to announce itself, or to retry."""

AUTOCOMMIT = {"autocommit": True, "synchronize_session": False, "in_background": True}

_announced: dict[int, float] = {}


class App(Protocol):
    """The part of the Flask application that announcing needs."""

    def app_context(self) -> AbstractContextManager[Any]: ...


def announce() -> bool:
    """Record which keys this process has, and delete dead processes; at most once per ANNOUNCE_EVERY.

    Workers call this in their sweeps, web processes in ``keep_announcing``. Each statement is a separate transaction.
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
    if db.session.execute(known, execution_options=AUTOCOMMIT).first() is None:
        first = sa.insert(KeyAnnouncement).values(id=_holder(process), **seen)
        db.session.execute(first, execution_options=AUTOCOMMIT)
    long_dead = sa.delete(KeyAnnouncement).where(KeyAnnouncement.seen_at < now - 2 * DEAD_AFTER)
    db.session.execute(long_dead, execution_options=AUTOCOMMIT)
    _announced[process] = time.monotonic()
    return False


def count_without(kid: str) -> int:
    """Return the number of running processes that don't have the key ``kid``."""
    running = db.session.scalars(
        sa.select(KeyAnnouncement.kids).where(KeyAnnouncement.seen_at >= clock.now() - DEAD_AFTER)
    )
    return sum(kid not in kids.split() for kids in running)


def keep_announcing(app: App) -> None:
    """Announce this process from a background thread, for as long as it runs."""

    def run() -> None:
        while True:
            with app.app_context():
                try:
                    announce()
                except Exception as error:  # the database is down: retry
                    log.warning("keys.cannot_announce", error=type(error).__name__)
            time.sleep(LOOK_EVERY)

    threading.Thread(target=run, name="announce-keys", daemon=True).start()


@lru_cache
def _holder(process: int) -> str:
    """Return the id of a process in its announcements."""
    return secrets.row_id()


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """An encrypted column, which may be re-encrypted with another key.

    :ivar context: returns the encryption context of a row
    :ivar id: name of the column that identifies a row
    :ivar secret: name of the encrypted column; its value is "" in rows without a secret
    """

    model: Any
    context: Callable[[Any], tuple[str, ...]]
    id: str = "id"
    secret: str = "secret"  # noqa: S105 - a column's name

    @property
    def ids(self) -> Any:
        """The identifying column, for SQL statements."""
        return self.model.__table__.c[self.id]

    @property
    def texts(self) -> Any:
        """The encrypted column, for SQL statements."""
        return self.model.__table__.c[self.secret]


_REGISTERED = "latchkey.sealed_columns"


def register_sealed(app: Flask, *columns: SealedColumn) -> None:
    """Register columns to be counted, checked at startup, and re-encrypted by ``flask keys rotate``."""
    app.extensions.setdefault(_REGISTERED, []).extend(columns)


def sealed_columns() -> list[SealedColumn]:
    """Return all encrypted columns."""
    found: list[SealedColumn] = this_app().extensions[_REGISTERED]
    return found


OWN = (SealedColumn(Enrollment, enrolled_context), SealedColumn(Challenge, challenge_context))
"""Encrypted columns of enrollments and challenges."""


_KEYS_IN_USE = """
    WITH RECURSIVE used (kid) AS (
        SELECT min({key}) FROM {table} WHERE {sealed}
        UNION ALL
        SELECT (SELECT min({key}) FROM {table} WHERE {sealed} AND {key} > used.kid) FROM used WHERE used.kid IS NOT NULL
    )
    SELECT kid FROM used WHERE kid IS NOT NULL
"""
"""Jumps from one key to the next using the index (loose index scan): one step per key, regardless of rows."""


def keys_in_use(connection: sa.Connection | None = None) -> set[str]:
    """Return the ids of all keys that encrypt something, including those missing from the key ring.

    :param connection: connection to a database other than the service's
    """
    found: set[str] = set()
    run = db.session if connection is None else connection
    for column in sealed_columns():
        texts = column.secret
        values = {"table": column.model.__tablename__, "key": f"substr({texts}, 4, 8)", "sealed": f"{texts} <> ''"}
        found.update(run.scalars(sa.text(_KEYS_IN_USE.format_map(values))))
    return found


def sealed_rows() -> Counter[str]:
    """Return the number of rows encrypted with each key, by key id, including keys missing from the key ring.

    Reads every row, so it's for administrators' commands and not for startup.
    """
    counts: Counter[str] = Counter()
    for column in sealed_columns():
        kid = sa.func.substr(column.texts, 4, 8)
        each = sa.select(kid, sa.func.count()).where(column.texts != "").group_by(kid)
        for found, count in db.session.execute(each):
            counts[found] += count
    return counts
