"""Move the service to another database while it keeps answering reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import sqlalchemy as sa

from app.backup import builds, restore, service, tables
from app.backup.builds import NOTHING_CHANGED, Progress
from app.backup.databases import Database, Postgresql, Sqlite, database_at
from app.backup.faults import BackupError, readable_errors
from app.backup.tables import Digest
from app.command_language import N_, gettext
from app.db import read_only
from app.extensions import db, settings

RENEW_EVERY = 10.0
"""Seconds between renewals of the source's read-only lease."""

EXPECTED_RATE = 20_000
"""Rows per second assumed until a rate has been measured."""

MIN_ESTIMATE = timedelta(seconds=15)
AFTER_MOVE = timedelta(seconds=30)
"""When clients should retry after the move, while servers are restarted."""


class ProgressEstimate:
    """Estimates how long the move will take from its progress so far."""

    def __init__(self, rows: int) -> None:
        self.total = 2 * rows  # each row is written, then read again
        self.done = 0
        self._began = time.monotonic()
        self._before: dict[str, int] = {}

    def update(self, what: str, rows: int) -> None:
        """Record progress."""
        self.done += rows - self._before.get(what, 0)
        self._before[what] = rows

    def remaining(self) -> timedelta:
        """Return the estimated time remaining."""
        took = time.monotonic() - self._began
        rate = self.done / took if self.done > EXPECTED_RATE and took > 1 else EXPECTED_RATE
        return MIN_ESTIMATE + timedelta(seconds=max(0, self.total - self.done) / rate)


class ReadOnlyLease:
    """Keeps the source read-only by renewing its lease, until it is ended or made permanent."""

    def __init__(self, source: Database, estimate: ProgressEstimate) -> None:
        self.source, self.estimate = source, estimate
        self.permanent = False
        self.expired = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="read-only", daemon=True)

    def start(self) -> None:
        """Start renewing the lease."""
        self._thread.start()

    def end(self) -> None:
        """Stop renewing the lease."""
        self._stop.set()
        self._thread.join()

    def require_unexpired(self) -> None:
        """Check that the source can't have accepted any changes since the start.

        :raises BackupError: if it can have
        """
        if self.expired:
            raise BackupError(f"The source took changes meanwhile: this process was held up. {NOTHING_CHANGED}.")

    def make_permanent(self) -> None:
        """Leave the source read-only after the move."""
        self.end()
        with self.source.engine.connect() as connection:
            self.expired = self.expired or not read_only.renew(connection, AFTER_MOVE, permanent=True)
        self.require_unexpired()
        self.permanent = True

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_EVERY):
            try:
                with self.source.engine.connect() as connection:
                    self.expired = self.expired or not read_only.renew(connection, self.estimate.remaining())
            except sa.exc.SQLAlchemyError:
                continue  # retried before the lease expires; if it does expire, the next renewal detects it


def move(url: str, progress: Progress = service.no_progress) -> int:
    """Copy the service's database to ``url``, and leave the old one read-only; return how many rows were moved.

    During the move every process answers reads, and rejects changes with 503. If it fails or is stopped, the service
    accepts changes again immediately; if it is killed, within a minute.
    :raises BackupError: with the reason, when nothing was moved
    """
    source, target = database_at(settings.database_url), database_at(url)
    with readable_errors("the database to move to", NOTHING_CHANGED):
        _reject_target(source, target)
    with readable_errors(service.database_name(source), NOTHING_CHANGED):
        with source.engine.connect() as connection:
            revision = tables.require_this_release(connection)
            names = [table.name for table in tables.found_tables(connection)]
            estimate = ProgressEstimate(sum(restore.count(connection, name) for name in names))
        with _read_only(source, names, estimate) as lease:

            def report(what: str, rows: int) -> None:
                lease.require_unexpired()
                estimate.update(what, rows)
                progress(what, rows)

            return _copy(source, target, revision, lease, report)


SAME = N_("That is the database that the service uses. Name the one to move to.")


def _reject_target(source: Database, target: Database) -> None:
    if isinstance(source, Sqlite) and isinstance(target, Sqlite) and source.path.resolve() == target.path.resolve():
        raise BackupError(gettext(SAME))
    if isinstance(source, Postgresql) and isinstance(target, Postgresql) and _location(source) == _location(target):
        raise BackupError(gettext(SAME))
    restore.reject_newer_tables(target)
    if what := restore.database_usage(target).description:
        text = gettext("The database to move to isn't empty: it has {what}. Name an empty one (createdb).", what=what)
        raise BackupError(text)


def _location(database: Postgresql) -> tuple[object, ...]:
    with database.engine.connect() as connection:
        where = "SELECT system_identifier::text, current_database(), current_schema() FROM pg_control_system()"
        return tuple(connection.exec_driver_sql(where).one())


def _copy(source: Database, target: Database, revision: str, lease: ReadOnlyLease, progress: Progress) -> int:
    digests: dict[str, Digest] = {}
    with builds.build_for(target) as build:
        build.migrate(revision)
        with source.snapshot() as connection:
            here = tables.found_tables(connection)
            build.load(restore.rows_of(source, connection, digests), progress)
            numbered = [table for table in here if table.numbered]
            last = {f"{table.name}.{table.numbered}": source.last_number(connection, table) for table in numbered}
        wanted = {name: digest.value for name, digest in digests.items()}
        build.verify({table.name: table for table in here}, wanted, progress)
        build.advance_sequences(last)
        with build.database.engine.connect() as connection:
            restore.delete_process_records(connection)
        lease.make_permanent()
        try:
            build.replace_target()
        except BaseException:
            lease.permanent = False
            raise
    return sum(int(digest["rows"]) for digest in wanted.values())


@contextmanager
def _read_only(source: Database, names: list[str], estimate: ProgressEstimate) -> Iterator[ReadOnlyLease]:
    """Make the source read-only, and writable again if the block fails or is stopped."""
    lease = ReadOnlyLease(source, estimate)
    with source.engine.connect() as connection:
        found = read_only.state(connection)
        if found is not None and not found.permanent:
            raise BackupError(gettext("Another move is under way, or was killed a moment ago. Try again in a minute."))
        read_only.begin(connection, names, estimate.remaining())
    lease.start()
    try:
        yield lease
    finally:
        lease.end()
        if not lease.permanent:
            make_writable(source)


def make_writable(source: Database | None = None) -> bool:
    """Make the service's database writable again; return whether it was read-only."""
    source = source or database_at(settings.database_url)
    db.session.remove()
    with source.engine.connect() as connection:
        was = read_only.state(connection) is not None
        read_only.lift(connection)
    return was
