"""Keys of encryption at rest: which columns are under which, and which the running processes can read with."""

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


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column whose texts are sealed, and may be sealed anew under another key.

    :ivar context: returns what the text of a row is sealed to
    :ivar id: name of the column that tells the rows apart
    :ivar secret: name of the column itself; "" in a row that has none
    """

    model: Any
    context: Callable[[Any], tuple[str, ...]]
    id: str = "id"
    secret: str = "secret"  # noqa: S105 - a column's name

    @property
    def ids(self) -> Any:
        """The column that tells the rows apart, for statements."""
        return self.model.__table__.c[self.id]

    @property
    def texts(self) -> Any:
        """The column with the sealed texts, for statements."""
        return self.model.__table__.c[self.secret]


_REGISTERED = "latchkey.sealed_columns"


def register_sealed(app: Flask, *columns: SealedColumn) -> None:
    """Have these columns counted, checked at start, and sealed anew by ``flask keys rotate``."""
    app.extensions.setdefault(_REGISTERED, []).extend(columns)


def sealed_columns() -> list[SealedColumn]:
    """Return every column that is sealed."""
    found: list[SealedColumn] = this_app().extensions[_REGISTERED]
    return found


OWN = (SealedColumn(Enrollment, enrolled_context), SealedColumn(Challenge, challenge_context))
"""What is sealed of sign-in methods and of what is sent to people."""


_KEYS_IN_USE = """
    WITH RECURSIVE used (kid) AS (
        SELECT min({key}) FROM {table} WHERE {sealed}
        UNION ALL
        SELECT (SELECT min({key}) FROM {table} WHERE {sealed} AND {key} > used.kid) FROM used WHERE used.kid IS NOT NULL
    )
    SELECT kid FROM used WHERE kid IS NOT NULL
"""
"""From one key to the next by the index: as many steps as there are keys, however many rows."""


def keys_in_use(connection: sa.Connection | None = None) -> set[str]:
    """Return the ids of all keys under which something is sealed, those that are not in the ring included.

    :param connection: to another database than the service's
    """
    found: set[str] = set()
    run = db.session if connection is None else connection
    for column in sealed_columns():
        texts = column.secret
        values = {"table": column.model.__tablename__, "key": f"substr({texts}, 4, 8)", "sealed": f"{texts} <> ''"}
        found.update(run.scalars(sa.text(_KEYS_IN_USE.format_map(values))))
    return found


def sealed_rows() -> Counter[str]:
    """Return how many rows are sealed under each key, by its id, keys that are not in the ring included.

    Reads every row: for an operator who asks, not for a start.
    """
    counts: Counter[str] = Counter()
    for column in sealed_columns():
        kid = sa.func.substr(column.texts, 4, 8)
        each = sa.select(kid, sa.func.count()).where(column.texts != "").group_by(kid)
        for found, count in db.session.execute(each):
            counts[found] += count
    return counts
