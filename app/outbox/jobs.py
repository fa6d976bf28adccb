"""What a worker does besides delivering messages: jobs, periodic tasks and cleanups.

Which worker is alive, and which one does what only one may do, are rows that expire.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from app import clock
from app.crypto import secrets
from app.db import unavailable
from app.db.retention import registered_cleanups
from app.extensions import db, this_app
from app.outbox import leases, schedule
from app.outbox.models import Lease
from app.outbox.service import periodic_tasks

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

PRUNING = "pruning"

HELD_FOR = timedelta(seconds=30)
"""How long a role is held without being renewed, and how long a worker counts as alive after its last sign."""

WORKER = "worker-"

_lease = Lease.__table__


def _holding(insert: Any) -> Any:
    row = insert(_lease).values({name: sa.bindparam(name) for name in ("name", "holder", "until")})
    free = sa.or_(_lease.c.until <= sa.bindparam("now"), _lease.c.holder == row.excluded.holder)
    taken = row.on_conflict_do_update(
        index_elements=["name"], set_={"holder": row.excluded.holder, "until": row.excluded.until}, where=free
    )
    return taken.returning(_lease.c.name).execution_options(at_once=True)


_HOLD = {"sqlite": _holding(sqlite.insert), "postgresql": _holding(postgresql.insert)}


def hold(role: str, holder: str, lasting: timedelta = HELD_FOR) -> bool:
    """Take or renew a role for ``holder``; return False while another one holds it. Commits by itself."""
    now = clock.now()
    values = {"name": role, "holder": holder, "until": now + lasting, "now": now}
    statement = _HOLD[db.session.connection().dialect.name]
    return db.session.execute(statement, values).first() is not None


def beat(worker: str) -> None:
    """Note that this worker is alive, and forget those that were long ago."""
    hold(WORKER + worker, worker)
    old = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until < clock.now() - timedelta(days=1))
    if db.session.scalar(sa.select(sa.exists().where(old))):
        db.session.execute(sa.delete(_lease).where(old).execution_options(at_once=True))
    db.session.close()


def count_workers() -> int:
    """Return how many workers are alive."""
    alive = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until > clock.now())
    return db.session.scalar(sa.select(sa.func.count()).where(alive)) or 0


log = structlog.get_logger()

Job = Callable[[threading.Event], bool]
"""Does one piece of work, and returns whether there was any.

It claims its row by a conditional UPDATE under a lease, as messages are claimed, so that of two workers one does it
and after a crash another one does. What it leaves in the transaction is committed. Once the event that it is given is
set it has a second or two to give its row back.
"""

_REGISTERED = "latchkey.jobs"


def register_job(app: Flask, job: Job) -> None:
    """Have the worker run ``job`` in a thread of its own, so that no message waits for it."""
    app.extensions.setdefault(_REGISTERED, []).append(job)


def registered_jobs() -> list[Job]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_REGISTERED, ()))


def run_all(stop: threading.Event) -> None:
    """Run every errand until there is nothing left to do, or until ``stop``. Needs an app context."""
    for run in registered_jobs():
        while not stop.is_set() and _run_once(run, stop):
            pass


def _run_once(run: Job, stop: threading.Event) -> bool:
    """Run an errand once and commit; when it fails, the others go on."""
    try:
        worked = run(stop)
        db.session.commit()
    except Exception as error:  # an errand belongs to another package
        _note(run, error)
        db.session.rollback()
        return False
    return worked


def _note(run: Job, error: Exception) -> None:
    named = {"errand": getattr(run, "__qualname__", ""), "error": type(error).__name__}
    if unavailable(error):  # its row is there when the database is
        log.warning("worker.errand_put_off", **named)
    else:
        log.exception("worker.errand_failed", **named)


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
        beat(self.name)
        feed(self.stop)
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + TELL_EVERY
            schedule.tell()

    def prune(self) -> None:
        """Delete what is past its time, batch by batch, unless another worker is at it."""
        for prune in (lambda: leases.prune(self.settings.outbox_keep), *registered_cleanups()):
            while hold(PRUNING, self.name) and prune() and not self.stop.wait(PAUSE):
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
