"""What a worker does besides delivering messages: jobs, periodic tasks and cleanups.

All three are functions that do a batch and say whether there may be more, and one loop runs them (ADR 47). Which
worker is alive, and which one cleans up, are rows that expire.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from app import clock
from app.crypto import secrets
from app.db import unavailable
from app.db.retention import Cleanup, registered_cleanups
from app.extensions import db, this_app
from app.outbox import leases, schedule
from app.outbox.models import Lease
from app.version import VERSION

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

log = structlog.get_logger()

Job = Callable[[threading.Event], bool]
"""Does one piece of longer work, such as building an export, and returns whether there was any.

Its rows are in a table of its package, and it claims one as messages are claimed (``claiming`` and ``claim_rows`` in
``app.outbox.leases``). So of two workers one does it, and when it fails or its worker dies the row is due again at the
end of the lease. Once the event is set it has a second or two to give its row back.
"""

PeriodicTask = Callable[[], bool]
"""Does a batch of what requests have left to the worker, such as enqueueing reminders; returns if there may be more."""

CLEAN_UP_EVERY = 600.0
PAUSE = 0.05
"""Seconds between two batches, so that writers that wait for the lock get it."""

REPORT_EVERY = 60.0
"""Seconds between two log lines about messages that wait for another attempt."""

_JOBS, _PROMPT_JOBS, _PERIODIC_TASKS = "latchkey.jobs", "latchkey.prompt_jobs", "latchkey.periodic_tasks"
_DELIVERERS = "latchkey.deliverers"

T = TypeVar("T", bound=Callable[..., Any])


def register_job(app: Flask, job: Job) -> None:
    """Have the worker run ``job`` in the thread of the jobs, so that no message waits for it."""
    app.extensions.setdefault(_JOBS, []).append(job)


def register_prompt_job(app: Flask, job: Job) -> None:
    """Have the worker run a job that people wait for within a second, in a thread apart from those that take long."""
    app.extensions.setdefault(_PROMPT_JOBS, []).append(job)


def registered_jobs() -> list[Job]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_JOBS, ()))


def register_periodic_task(app: Flask, task: PeriodicTask) -> None:
    """Have the worker run ``task`` at each sweep."""
    app.extensions.setdefault(_PERIODIC_TASKS, []).append(task)


def periodic_tasks() -> list[PeriodicTask]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_PERIODIC_TASKS, ()))


class Deliverer(Protocol):
    """What posts rows of a table of its own, in threads of its own, for as long as a worker runs."""

    @property
    def threads(self) -> Mapping[str, Callable[[], None]]:
        """What its threads run until the worker stops, by their names."""

    def wake(self) -> None:
        """Look at the table soon."""

    def close(self) -> None:
        """Begin nothing more."""


def register_deliverer(app: Flask, make: Callable[[Any, threading.Event], Deliverer]) -> None:
    """Have each worker run what ``make`` returns for the app and the event that stops the worker."""
    app.extensions.setdefault(_DELIVERERS, []).append(make)


def deliverers_of(app: Any) -> list[Callable[[Any, threading.Event], Deliverer]]:
    """Return what is registered with this app."""
    return list(app.extensions.get(_DELIVERERS, ()))


def run_jobs(stop: threading.Event) -> None:
    """Run the jobs until there is nothing left to do, or until ``stop``. Needs an app context."""
    _run_in_turns(registered_jobs(), lambda job: job(stop), stop)


def run_prompt_jobs(stop: threading.Event) -> None:
    """Run the jobs that people wait for, as ``run_jobs`` does. Needs an app context."""
    _run_in_turns(list(this_app().extensions.get(_PROMPT_JOBS, ())), lambda job: job(stop), stop)


def run_periodic_tasks(stop: threading.Event) -> None:
    """Run the periodic tasks until there is nothing left to do, or until ``stop``. Needs an app context."""
    _run_in_turns(periodic_tasks(), lambda task: task(), stop)


def _run_in_turns(functions: Sequence[T], run: Callable[[T], object], stop: threading.Event) -> None:
    """Let these functions take turns, a batch each, until none has anything left to do or ``stop`` is set."""
    busy = list(functions)
    while busy and not stop.is_set():
        busy = [each for each in busy if not stop.is_set() and _run_once(each, run)]


def _run_once(function: T, run: Callable[[T], object]) -> bool:
    """Run a batch and commit it; return whether there may be more. One that fails keeps nothing, and others go on."""
    try:
        more = bool(run(function))
        db.session.commit()
    except Exception as error:  # it belongs to another package
        named = {"task": getattr(function, "__qualname__", ""), "error": type(error).__name__}
        if unavailable(error):  # its rows are there when the database is
            log.warning("worker.task_postponed", **named)
        else:
            log.exception("worker.task_failed", **named)
        db.session.rollback()
        return False
    return more


class Upkeep:
    """The upkeep of one worker. Its methods need an app context."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self.settings = settings
        self.stop = stop
        self.name = secrets.row_id()
        self.replica = settings.replica
        self.started_at = clock.now()
        self.swept_at: datetime | None = None
        self._report_at = time.monotonic()

    def beat(self) -> None:
        """Note that this worker is alive, and when it was last through with its periodic tasks."""
        beat(self.name, replica=self.replica, started_at=self.started_at, swept_at=self.swept_at)

    def sweep(self) -> None:
        """Run the periodic tasks, and log which messages wait for another attempt."""
        run_periodic_tasks(self.stop)
        self.swept_at = clock.now()
        if time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + REPORT_EVERY
            schedule.report_waiting()

    def prune(self) -> None:
        """Delete expired rows, batch by batch, unless another worker does."""
        _run_in_turns([self._prune_messages, *registered_cleanups()], self._prune_batch, self.stop)

    def _prune_messages(self) -> int:
        return leases.prune(self.settings.outbox_keep)

    def _prune_batch(self, cleanup: Cleanup) -> int:
        deleted = cleanup() if hold(PRUNING, self.name) else 0
        if deleted:
            self.stop.wait(PAUSE)
        return deleted


HELD_FOR = timedelta(seconds=30)
"""How long a role is held without being renewed, and how long a worker counts as alive after its last sign."""

PRUNING = "pruning"
WORKER = "worker-"
"""Names of roles; a worker's own follows the second."""

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


@dataclass(frozen=True, slots=True)
class WorkerSign:
    """What a worker last said of itself.

    :ivar name: drawn at its start
    :ivar replica, version: "" of a worker of a release that did not say
    :ivar seen_at: when it said so
    :ivar swept_at: when it was last through with its periodic tasks; None before the first time
    """

    name: str
    replica: str
    version: str
    started_at: datetime | None
    seen_at: datetime
    swept_at: datetime | None


def beat(
    worker: str, *, replica: str = "", started_at: datetime | None = None, swept_at: datetime | None = None
) -> None:
    """Note that this worker is alive, and forget those that were long ago. A new one is a row more."""
    values = {"until": clock.now() + HELD_FOR, "replica": replica, "version": VERSION}
    values |= {"started_at": started_at, "swept_at": swept_at}
    known = sa.update(_lease).where(_lease.c.name == WORKER + worker).values(values).returning(_lease.c.name)
    if db.session.execute(known.execution_options(at_once=True)).first() is None:
        first = sa.insert(_lease).values(name=WORKER + worker, holder=worker, **values)
        db.session.execute(first.execution_options(at_once=True))
    old = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until < clock.now() - timedelta(days=1))
    if db.session.scalar(sa.select(sa.exists().where(old))):
        db.session.execute(sa.delete(_lease).where(old).execution_options(at_once=True))
    db.session.close()


def live_workers() -> list[WorkerSign]:
    """Return what each worker that is alive last said, the one that started first before the others."""
    alive = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until > clock.now())
    rows = db.session.execute(sa.select(_lease).where(alive).order_by(_lease.c.started_at, _lease.c.name))
    return [
        WorkerSign(row.holder, row.replica or "", row.version or "", row.started_at, row.until - HELD_FOR, row.swept_at)
        for row in rows
    ]


def count_workers() -> int:
    """Return how many workers are alive."""
    alive = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until > clock.now())
    return db.session.scalar(sa.select(sa.func.count()).where(alive)) or 0
