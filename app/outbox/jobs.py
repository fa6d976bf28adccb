"""Background work besides delivering messages: jobs, periodic tasks and cleanups.

All three are functions that process a batch and return whether there may be more, and the same loop runs them
(ADR 47). Worker heartbeats and the lock on cleanups are leases, rows that expire.
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
"""Processes one long-running job, such as building an export, and returns whether there was one.

The job's rows are in a table of its own package and are claimed like messages (``claiming`` and ``claim_rows`` in
``app.outbox.leases``). Only one worker gets a row, and if the job fails or its worker dies, the row is due again when
the lease ends. Once the event is set, the job has a second or two to release its row.
"""

PeriodicTask = Callable[[], bool]
"""Processes a batch of work deferred from requests, such as enqueueing reminders; returns if there may be more."""

CLEANUP_INTERVAL = 600.0
BATCH_PAUSE = 0.05
"""Seconds between two batches, so that writers waiting for the lock can get it."""

REPORT_INTERVAL = 60.0
"""Seconds between two reports of messages waiting for a retry."""

_JOBS, _PROMPT_JOBS, _PERIODIC_TASKS = "latchkey.jobs", "latchkey.prompt_jobs", "latchkey.periodic_tasks"
_DELIVERERS = "latchkey.deliverers"

T = TypeVar("T", bound=Callable[..., Any])


def register_job(app: Flask, job: Job) -> None:
    """Have the worker run ``job`` in its job thread, so that it never delays messages."""
    app.extensions.setdefault(_JOBS, []).append(job)


def register_prompt_job(app: Flask, job: Job) -> None:
    """Have the worker run a job that users wait for, within a second and in a thread apart from long-running jobs."""
    app.extensions.setdefault(_PROMPT_JOBS, []).append(job)


def registered_jobs() -> list[Job]:
    """Return the jobs registered with the current app."""
    return list(this_app().extensions.get(_JOBS, ()))


def register_periodic_task(app: Flask, task: PeriodicTask) -> None:
    """Have the worker run ``task`` at each sweep."""
    app.extensions.setdefault(_PERIODIC_TASKS, []).append(task)


def periodic_tasks() -> list[PeriodicTask]:
    """Return the periodic tasks registered with the current app."""
    return list(this_app().extensions.get(_PERIODIC_TASKS, ()))


class Deliverer(Protocol):
    """Posts rows from its own table, in its own threads, while a worker runs."""

    @property
    def threads(self) -> Mapping[str, Callable[[], None]]:
        """Functions its threads run until the worker stops, by thread name."""

    def wake(self) -> None:
        """Poll the table soon."""

    def close(self) -> None:
        """Start no further deliveries."""


def register_deliverer(app: Flask, make: Callable[[Any, threading.Event], Deliverer]) -> None:
    """Have each worker run a deliverer. ``make`` is called with the app and the event that stops the worker."""
    app.extensions.setdefault(_DELIVERERS, []).append(make)


def deliverers_of(app: Any) -> list[Callable[[Any, threading.Event], Deliverer]]:
    """Return the deliverer factories registered with this app."""
    return list(app.extensions.get(_DELIVERERS, ()))


def run_jobs(stop: threading.Event) -> None:
    """Run jobs until none are left or ``stop`` is set. Needs an app context."""
    _run_round_robin(registered_jobs(), lambda job: job(stop), stop)


def run_prompt_jobs(stop: threading.Event) -> None:
    """Run the jobs users wait for, like ``run_jobs``. Needs an app context."""
    _run_round_robin(list(this_app().extensions.get(_PROMPT_JOBS, ())), lambda job: job(stop), stop)


def run_periodic_tasks(stop: threading.Event) -> None:
    """Run periodic tasks until nothing is left to do or ``stop`` is set. Needs an app context."""
    _run_round_robin(periodic_tasks(), lambda task: task(), stop)


def _run_round_robin(functions: Sequence[T], run: Callable[[T], object], stop: threading.Event) -> None:
    """Run the functions round-robin, one batch each, until all are out of work or ``stop`` is set."""
    busy = list(functions)
    while busy and not stop.is_set():
        busy = [each for each in busy if not stop.is_set() and _run_once(each, run)]


def _run_once(function: T, run: Callable[[T], object]) -> bool:
    """Run a batch and commit it; return whether there may be more. A failure is logged and rolled back, not raised."""
    try:
        more = bool(run(function))
        db.session.commit()
    except Exception as error:  # tasks belong to other packages and may raise anything
        log_fields = {"task": getattr(function, "__qualname__", ""), "error": type(error).__name__}
        if unavailable(error):  # its rows are still there when the database is back
            log.warning("worker.task_postponed", **log_fields)
        else:
            log.exception("worker.task_failed", **log_fields)
        db.session.rollback()
        return False
    return more


class Upkeep:
    """One worker's heartbeat, periodic tasks and cleanups. Methods need an app context."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self.settings = settings
        self.stop = stop
        self.name = secrets.row_id()
        self.replica = settings.replica
        self.started_at = clock.now()
        self.swept_at: datetime | None = None
        self._report_at = time.monotonic()

    def record_heartbeat(self) -> None:
        """Record this worker's heartbeat, and when it last completed its periodic tasks."""
        record_heartbeat(self.name, replica=self.replica, started_at=self.started_at, swept_at=self.swept_at)

    def sweep(self) -> None:
        """Run the periodic tasks, and log which messages are waiting for a retry."""
        run_periodic_tasks(self.stop)
        self.swept_at = clock.now()
        if time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + REPORT_INTERVAL
            schedule.report_waiting()

    def prune(self) -> None:
        """Delete expired rows in batches, unless another worker is doing so."""
        _run_round_robin([self._prune_messages, *registered_cleanups()], self._prune_batch, self.stop)

    def _prune_messages(self) -> int:
        return leases.prune(self.settings.outbox_keep)

    def _prune_batch(self, cleanup: Cleanup) -> int:
        deleted = cleanup() if acquire_role(PRUNING, self.name) else 0
        if deleted:
            self.stop.wait(BATCH_PAUSE)
        return deleted


ROLE_LEASE = timedelta(seconds=30)
"""How long a role is held without renewal, and how long a worker counts as alive after its last heartbeat."""

PRUNING = "pruning"
WORKER = "worker-"
"""Lease names. The second is a prefix, followed by the worker's name."""

_lease = Lease.__table__


def _acquire_statement(insert: Any) -> Any:
    row = insert(_lease).values({name: sa.bindparam(name) for name in ("name", "holder", "until")})
    free = sa.or_(_lease.c.until <= sa.bindparam("now"), _lease.c.holder == row.excluded.holder)
    taken = row.on_conflict_do_update(
        index_elements=["name"], set_={"holder": row.excluded.holder, "until": row.excluded.until}, where=free
    )
    return taken.returning(_lease.c.name).execution_options(autocommit=True)


_ACQUIRE = {"sqlite": _acquire_statement(sqlite.insert), "postgresql": _acquire_statement(postgresql.insert)}


def acquire_role(role: str, holder: str, duration: timedelta = ROLE_LEASE) -> bool:
    """Acquire or renew a role for ``holder``; return False if another worker holds it. Runs in its own transaction."""
    now = clock.now()
    values = {"name": role, "holder": holder, "until": now + duration, "now": now}
    statement = _ACQUIRE[db.session.connection().dialect.name]
    return db.session.execute(statement, values).first() is not None


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A worker's last heartbeat.

    :ivar name: random, generated when the worker starts
    :ivar replica, version: "" for workers of older releases, which didn't report them
    :ivar seen_at: time of the heartbeat
    :ivar swept_at: when it last completed its periodic tasks; None before the first time
    """

    name: str
    replica: str
    version: str
    started_at: datetime | None
    seen_at: datetime
    swept_at: datetime | None


def record_heartbeat(
    worker: str, *, replica: str = "", started_at: datetime | None = None, swept_at: datetime | None = None
) -> None:
    """Record a worker's heartbeat, and delete heartbeats that expired more than a day ago. Each worker has one row."""
    values = {"until": clock.now() + ROLE_LEASE, "replica": replica, "version": VERSION}
    values |= {"started_at": started_at, "swept_at": swept_at}
    known = sa.update(_lease).where(_lease.c.name == WORKER + worker).values(values).returning(_lease.c.name)
    if db.session.execute(known.execution_options(autocommit=True)).first() is None:
        first = sa.insert(_lease).values(name=WORKER + worker, holder=worker, **values)
        db.session.execute(first.execution_options(autocommit=True))
    old = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until < clock.now() - timedelta(days=1))
    if db.session.scalar(sa.select(sa.exists().where(old))):
        db.session.execute(sa.delete(_lease).where(old).execution_options(autocommit=True))
    db.session.close()


def live_workers() -> list[WorkerHeartbeat]:
    """Return the last heartbeat of each live worker, longest running first."""
    alive = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until > clock.now())
    rows = db.session.execute(sa.select(_lease).where(alive).order_by(_lease.c.started_at, _lease.c.name))
    return [
        WorkerHeartbeat(
            row.holder, row.replica or "", row.version or "", row.started_at, row.until - ROLE_LEASE, row.swept_at
        )
        for row in rows
    ]


def count_workers() -> int:
    """Return the number of live workers."""
    alive = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until > clock.now())
    return db.session.scalar(sa.select(sa.func.count()).where(alive)) or 0
