"""Exports: request, build in a worker, download, and delete. After a crash another worker takes over."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
import structlog

from app import clock, metrics, outbox
from app.audit import record
from app.crypto.encryption import DecryptionError
from app.crypto.secrets import is_row_id
from app.db.export import ExportPart, read, registered_export
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import db, execute_update, keyring, settings
from app.outbox.leases import LEASE, claim_rows, claiming
from app.privacy.archive import Archive, readme
from app.privacy.emails import mailboxes_of
from app.privacy.models import FAILED, GONE, MAKING, READY, UNDER_WAY, WAITING, Export, ExportChunk
from app.users import User, lock_account

log = structlog.get_logger()

MAX_PER_DAY = 3
"""Number of exports that an account can request per day."""

ARCHIVE_BATCH = 10
"""Number of archives, of up to 16 MiB each, deleted by one statement."""

MAX_ATTEMPTS = 5

MAX_ROWS = 100_000
MAX_BYTES = 16 * 1024 * 1024
"""Limits of an archive: maximum rows per file, and the size in bytes after which no more rows are added."""

DAY = timedelta(days=1)
_e, _c = Export.__table__.c, ExportChunk.__table__.c
_CLAIM = claiming(_e.id, _e.due_at, state=MAKING, attempts=_e.attempts + 1)


def request_export(user: User) -> Export:
    """Request an export, which a worker builds at one of its next polls.

    :raises Rejected: ``export_under_way`` while one is being built; ``too_many_requests`` after the third in a day
    """
    lock_account(user.id)  # serialize concurrent requests
    known = exports_of(user.id)
    if any(export.state in UNDER_WAY for export in known):
        raise Rejected("export_under_way")
    now = clock.now()
    if (wait := seconds_until_next(known, now)) > 0:
        metrics.REFUSALS.count("exports")
        raise Rejected("too_many_requests", status=429, retry_after=wait)
    export = Export(user_id=user.id, state=WAITING, asked_at=now, due_at=now)
    db.session.add(export)
    db.session.flush()
    record("export.requested", user.id)
    return export


def seconds_until_next(known: Sequence[Export], now: datetime) -> int:
    """Return the number of seconds until another export can be requested; 0 if it can be now."""
    recent = [export.asked_at for export in known if export.asked_at > now - DAY]
    return int((recent[MAX_PER_DAY - 1] + DAY - now).total_seconds()) + 1 if len(recent) >= MAX_PER_DAY else 0


def exports_of(user_id: int) -> list[Export]:
    """Return the exports that this user requested recently, newest first. One statement."""
    mine = sa.select(Export).where(Export.user_id == user_id).order_by(Export.asked_at.desc(), Export.id)
    return list(db.session.scalars(mine.execution_options(populate_existing=True)))


def fetch(user: User, export_id: str) -> tuple[Export, Iterator[bytes]]:
    """Return an export of this user and the pieces of its archive, read from the database one at a time.

    :raises Rejected: ``not_found`` (404) if it isn't this user's, isn't ready, or has expired
    """
    export = db.session.get(Export, export_id) if is_row_id(export_id) else None
    if export is None or export.user_id != user.id or not export.can_be_fetched(clock.now()):
        raise Rejected("not_found", status=404)
    try:
        first = _piece(export, 0)
    except DecryptionError:  # its key was removed: the owner can request another one
        raise Rejected("not_found", status=404) from None
    return export, _pieces(export, first)


class LeaseLost(Exception):
    """This worker has lost the export: its lease has expired, or the account is gone."""


class Stopped(Exception):
    """This worker is stopping."""


def build_one(stop: threading.Event) -> bool:
    """Build the export that is due first; return whether there was one. Its owner is notified when it is ready."""
    claimed = claim_rows(_CLAIM)
    if not claimed:
        return False
    export_id, user_id, attempt = claimed[0].id, claimed[0].user_id, claimed[0].attempts
    build = ExportBuild(export_id, user_id, attempt, stop)
    if attempt > MAX_ATTEMPTS:
        build.give_up()
        return True
    try:
        build.run()
    except (LeaseLost, sa.exc.IntegrityError):
        db.session.rollback()
        log.warning("export.lost", export=export_id, attempt=attempt)
    except Stopped:
        db.session.rollback()
        build.put_back()
    return True


class ExportBuild:
    """A worker's attempt to build an export.

    Each piece is stored in a transaction of its own, so none is open while the next piece is built. All pieces carry
    the attempt number, so pieces of different attempts are never mixed.
    """

    def __init__(self, export_id: str, user_id: int, attempt: int, stop: threading.Event) -> None:
        self.export_id = export_id
        self.user_id = user_id
        self.attempt = attempt
        self.stop = stop
        self.at = clock.now()
        self.chunks = 0
        self.cut: list[str] = []

    def run(self) -> None:
        """Write the archive and publish it.

        :raises LeaseLost: if another worker has taken over
        :raises Stopped: if this worker is stopping
        """
        earlier = sa.delete(ExportChunk).where(_c.export_id == self.export_id, _c.attempt < self.attempt)
        db.session.execute(earlier.execution_options(synchronize_session=False, autocommit=True))
        archive = Archive(self._store, self.at)
        try:
            self._fill(archive)
        except BaseException:
            archive.abandon()
            raise
        self._publish(archive.size)

    def _fill(self, archive: Archive) -> None:
        for part in registered_export().parts:
            archive.add_json(f"{part.name}.json", self._batches(part, archive))
            archive.add_csv(f"{part.name}.csv", list(part.columns), self._batches(part, archive))
        archive.add_text("README.txt", readme(self.at, registered_export().parts, self.cut))
        archive.close()

    def _batches(self, part: ExportPart, archive: Archive) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield the rows of a part; stop when the archive grows too large."""
        left = MAX_ROWS
        for rows in read(db.session, part, self.user_id):
            yield rows[:left]
            left -= len(rows)
            if left < 0 or archive.size > MAX_BYTES:
                self.cut = [*dict.fromkeys([*self.cut, part.name])]
                return

    def _store(self, piece: bytes) -> None:
        """Store a piece if this worker still holds the lease, and renew the lease."""
        if self.stop.is_set():
            raise Stopped
        kept = sa.update(Export).where(*self._mine()).values(due_at=clock.now() + LEASE)
        kept = kept.execution_options(synchronize_session=False, autocommit=True)
        if cast("sa.CursorResult[Any]", db.session.execute(kept)).rowcount != 1:
            raise LeaseLost
        sealed = keyring.seal(piece, *chunk_context(self.export_id, self.attempt, self.chunks))
        row = {"export_id": self.export_id, "attempt": self.attempt, "number": self.chunks, "sealed": sealed}
        db.session.execute(sa.insert(ExportChunk).values(row).execution_options(autocommit=True))
        self.chunks += 1

    def _publish(self, size: int) -> None:
        """Make the archive available, delete the one it replaces, and notify its owner."""
        now = clock.now()
        expires_at = now + settings.export_keep
        how = {"state": READY, "ready_at": now, "expires_at": expires_at, "size": size, "chunks": self.chunks}
        if execute_update(sa.update(Export).where(*self._mine()).values(due_at=None, **how)) != 1:
            raise LeaseLost
        older = (Export.user_id == self.user_id, Export.id != self.export_id, Export.state == READY)
        ids = list(db.session.scalars(sa.select(Export.id).where(*older)))
        if ids:
            execute_update(sa.update(Export).where(Export.id.in_(ids)).values(state=GONE))
            execute_update(sa.delete(ExportChunk).where(ExportChunk.export_id.in_(ids)))
        record("export.ready", self.user_id, bytes=size)
        self._notify(expires_at)

    def _notify(self, expires_at: datetime) -> None:
        user = db.session.get(User, self.user_id)
        if user is not None and user.is_active:
            where_to, until = mailboxes_of(self.user_id), expires_at.isoformat()
            outbox.enqueue_each("export_ready", "mail", where_to, user_id=self.user_id, until=until)

    def put_back(self) -> None:
        """Make it due immediately, for any worker. After a failure it becomes due when the lease expires."""
        execute_update(sa.update(Export).where(*self._mine()).values(state=WAITING, due_at=clock.now()))

    def give_up(self) -> None:
        """Mark it as failed, so that its owner can request another one."""
        execute_update(sa.update(Export).where(*self._mine()).values(state=FAILED, due_at=None))
        execute_update(sa.delete(ExportChunk).where(ExportChunk.export_id == self.export_id))
        record("export.failed", self.user_id)

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return Export.id == self.export_id, Export.attempts == self.attempt, Export.state == MAKING


def chunk_context(export_id: str, attempt: int, number: int) -> tuple[str, ...]:
    """Return the context that a piece is encrypted with, so it can't be moved to another archive or position."""
    return "export_chunk", export_id, str(attempt), str(number)


def prune_archives() -> int:
    """Delete the archives of a batch of expired exports; return the number of pieces deleted."""
    over = sa.select(Export.id).where(Export.expires_at <= clock.now()).where(
        sa.exists().where(ExportChunk.export_id == Export.id)
    )  # fmt: skip
    statement = sa.delete(ExportChunk).where(ExportChunk.export_id.in_(over.limit(ARCHIVE_BATCH)))
    done = db.session.execute(statement.execution_options(synchronize_session=False, autocommit=True))
    return cast("sa.CursorResult[Any]", done).rowcount


def prune_exports() -> int:
    """Delete a batch of exports that no limit counts and no one can fetch; return the number deleted."""
    now = clock.now()
    over = sa.or_(Export.expires_at.is_(None), Export.expires_at <= now)
    return delete_batch(db.session, Export, sa.and_(Export.asked_at < now - DAY, Export.due_at.is_(None), over))


def _pieces(export: Export, first: bytes) -> Iterator[bytes]:
    yield first
    for number in range(1, export.chunks):
        yield _piece(export, number)


def _piece(export: Export, number: int) -> bytes:
    """Return one piece. Raise DecryptionError if it was altered or moved, or is missing."""
    place = (export.id, export.attempts, number)
    c = ExportChunk
    here = (c.export_id == export.id, c.attempt == export.attempts, c.number == number)
    sealed = db.session.scalar(sa.select(c.sealed).where(*here))
    return keyring.open(sealed or "", *chunk_context(*place))
