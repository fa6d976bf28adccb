"""Restore a backup: determine whether the current database is in use, and replace it.

Rows that may have changed since the backup was made are invalidated (ADR 57). Otherwise codes used, sessions ended,
invitations revoked and recoveries refused since then would be valid again, and messages sent long ago would be sent
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock, i18n
from app.admin.models import AdminLink, AdminVisit
from app.authenticators.keys import DEAD_AFTER
from app.authenticators.models import KeyAnnouncement, WebauthnChallenge
from app.backup import builds, native, tables
from app.backup.builds import Build, Progress
from app.backup.databases import Database, Sqlite, database_at
from app.backup.envelope import BackupReader, Manifest
from app.backup.faults import BackupError, readable_errors
from app.backup.service import (
    PG_DUMP,
    SQLITE,
    database_name,
    extracted_database,
    known_revision,
    no_progress,
    open_backup,
    portable_content,
    tables_in_order,
)
from app.backup.tables import Digest, Table, line_of
from app.challenges.models import Challenge
from app.command_language import gettext, in_command_language, ngettext
from app.db.readiness import schema_state
from app.extensions import db, settings
from app.forward_auth.models import AppSession, EntryTicket
from app.invitations.models import Invitation
from app.oidc.models import AccessToken, DeviceRequest, Grant
from app.outbox.models import ABANDONED, Lease, Message, ProviderHealth
from app.privacy.models import Deletion
from app.recovery.models import Recovery
from app.sessions.models import ApiToken, AuthSession, KnownDevice, PendingSignIn, RefreshToken
from app.signin.models import SentLink
from app.webhooks.models import WebhookDelivery

SELF_FILLED_TABLES = ("admin_link", "event", "key_holder", "lease", "oauth_file_client", "oauth_key", "oauth_naming")
"""Tables that even an unused service fills when it starts."""


@dataclass(frozen=True, slots=True)
class DatabaseUsage:
    """How a database is used.

    :ivar rows: whether it has any rows created by people or operators
    :ivar processes: number of processes that have it open
    """

    accounts: int = 0
    rows: bool = False
    processes: int = 0

    @property
    def description(self) -> str:
        """Description for messages, "" when the database is unused."""
        found = [ngettext("{count} account", "{count} accounts", self.accounts)] if self.rows else []
        if self.processes:
            using = ngettext(
                "{count} process of the service using it", "{count} processes of the service using it", self.processes
            )
            found.append(using)
        with in_command_language():
            return i18n.all_of(found) if found else ""


def database_usage(database: Database) -> DatabaseUsage:
    """Return how a database is used. A process no longer counts 25 s after it has ended.

    :raises BackupError: when the database can't be read
    """
    if isinstance(database, Sqlite) and not database.path.exists():
        return DatabaseUsage()
    with readable_errors(database_name(database), builds.NOTHING_CHANGED), database.engine.connect() as connection:
        here = set(sa.inspect(connection).get_table_names()) & set(db.metadata.tables)
        accounts = count(connection, "user") if "user" in here else 0
        rows = any(count(connection, name, most=1) for name in here.difference(SELF_FILLED_TABLES))
        recent = KeyAnnouncement.seen_at >= clock.now() - DEAD_AFTER
        counting = sa.select(sa.func.count()).select_from(KeyAnnouncement).where(recent)
        return DatabaseUsage(accounts, rows, int(connection.scalar(counting) or 0) if "key_holder" in here else 0)


def count(connection: sa.Connection, name: str, most: int | None = None) -> int:
    rows = sa.select(sa.literal_column("1")).select_from(sa.table(name)).limit(most).subquery()
    return int(connection.scalar(sa.select(sa.func.count()).select_from(rows)) or 0)


@dataclass(slots=True)
class Restored:
    """Result of a restore.

    :ivar ended: counts of invalidated rows, by kind
    """

    manifest: Manifest
    ended: dict[str, int] = field(default_factory=dict)


def restore(
    name: str, *, keep_sessions: bool, confirm: Callable[[DatabaseUsage], None], progress: Progress = no_progress
) -> Restored:
    """Replace the service's database with a backup, completely or not at all.

    :param confirm: receives the database's current use, and raises if the database must not be replaced
    :raises BackupError: with the reason, when nothing was changed
    """
    with open_backup(name) as found:
        target = database_at(settings.database_url)
        manifest = found.manifest
        revision = known_revision(manifest)
        if manifest.content == PG_DUMP and isinstance(target, Sqlite):
            raise BackupError(
                gettext(
                    "The backup was made by pg_dump, which only PostgreSQL can load. Set LATCHKEY_DATABASE_URL "
                    "to a PostgreSQL database; or restore it there, then: flask db move"
                )
            )
        reject_newer_tables(target)
        confirm(database_usage(target))
        with builds.build_for(target) as build:
            build.migrate(revision)
            _load(build, found, progress)
            with build.database.engine.connect() as connection:
                layout = {table.name: table for table in tables_in_order(connection, manifest)}
            require_all(manifest.tables, layout)
            build.verify(layout, manifest.tables, progress)
            build.advance_sequences(manifest.sequences)
            build.migrate("head")
            ended = _invalidate_in(build, keep_sessions=keep_sessions)
            db.session.remove()
            db.engine.dispose()
            build.replace_target()
        return Restored(manifest, ended)


def require_all(wanted: Iterable[str], layout: dict[str, Table]) -> None:
    """Check that every wanted table exists.

    :raises BackupError: if one doesn't
    """
    if missing := sorted(set(wanted) - set(layout)):
        raise BackupError(f"The backup has tables that no release of ours has: {', '.join(missing)}.")


def reject_newer_tables(target: Database) -> None:
    """Check that this release knows the tables of ``target``. An SQLite file is replaced whatever it contains.

    :raises BackupError: if it doesn't
    """
    if isinstance(target, Sqlite):
        return
    with readable_errors("the database", builds.NOTHING_CHANGED), target.engine.connect() as connection:
        found = schema_state(connection)
    if found.newer:
        raise BackupError(
            f"The database has tables of a newer release (revision {found.newer}, ours {found.head}), which would be "
            "left over. Make an empty database (createdb), set LATCHKEY_DATABASE_URL to it, and restore there."
        )


def _load(build: Build, found: BackupReader, progress: Progress) -> None:
    content = found.manifest.content
    if content == PG_DUMP:
        with build.loading() as (connection, here):
            driver: Any = connection.connection.driver_connection
            for name, columns, rows in native.copied_rows(found.content()):
                if name in here and name in found.manifest.tables:
                    with driver.cursor().copy(f'COPY "{name}" ({columns}) FROM STDIN') as copy:
                        for row in rows:
                            copy.write(row)
                    progress(name, found.manifest.tables[name]["rows"])
    elif content == SQLITE:
        with extracted_database(found) as copy, copy.snapshot() as connection:
            build.load(rows_of(copy, connection), progress)
    else:
        build.load(portable_content(found), progress)


def rows_of(database: Database, connection: sa.Connection, digests: dict[str, Digest] | None = None) -> builds.Content:
    """Yield the tables of a database with their rows.

    :param digests: receives the digest of each table once its rows were read
    """
    for table in tables.found_tables(connection):
        yield table, _rows_of(database, connection, table, digests)


def _rows_of(
    database: Database, connection: sa.Connection, table: Table, digests: dict[str, Digest] | None
) -> Iterator[list[Any]]:
    digest = Digest()
    for rows in database.read(connection, table):
        if digests is not None:
            digest.add(map(line_of, rows))
        yield from rows
    if digests is not None:
        digests[table.name] = digest


def _invalidate_in(build: Build, *, keep_sessions: bool) -> dict[str, int]:
    with build.database.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        ended = invalidate_open_rows(connection, clock.now(), keep_sessions=keep_sessions)
        connection.exec_driver_sql("COMMIT")
    return ended


# --- after a restore ----------------------------------------------------------------------------


RESTORED = "restored from a backup"


def invalidate_open_rows(connection: sa.Connection, now: datetime, *, keep_sessions: bool) -> dict[str, int]:
    """Invalidate open rows in a restored database; return counts by kind.

    :param keep_sessions: keep sessions, everything that depends on them, and invitations as they were in the backup
    """
    delete_process_records(connection)
    done = {"messages": _stop_messages(connection, Message) + _stop_messages(connection, WebhookDelivery)}
    _end_pending_requests(connection, now)
    done["recoveries"] = _close_open(connection, Recovery, ("cancelled_at", "done_at"), cancelled_at=now)
    done["deletions"] = _postpone_deletions(connection, now + settings.delete_wait)
    if not keep_sessions:
        done["invitations"] = _close_open(connection, Invitation, ("revoked_at",), revoked_at=now)
        done["sessions"] = _end_sessions(connection, now)
    return done


def delete_process_records(connection: sa.Connection) -> None:
    """Delete what our processes recorded about themselves. The new database will be used by other processes."""
    for model in (KeyAnnouncement, Lease, ProviderHealth):
        connection.execute(sa.delete(model))


def _stop_messages(connection: sa.Connection, model: Any) -> int:
    """Cancel delivery of waiting messages. ``flask outbox retry`` and ``flask webhooks retry`` can still send them."""
    stopped = {"state": ABANDONED, "next_attempt_at": None, "last_error": RESTORED}
    waiting = sa.update(model).where(model.next_attempt_at.is_not(None)).values(stopped)
    return connection.execute(waiting).rowcount


def _end_pending_requests(connection: sa.Connection, now: datetime) -> None:
    """End codes, links and incomplete sign-ins, since any of them may have been used after the backup."""
    _close_open(connection, Challenge, ("spent_at",), spent_at=now)
    _close_open(connection, PendingSignIn, ("ended_at",), ended_at=now)
    _close_open(connection, WebauthnChallenge, ("spent_at",), spent_at=now)
    _close_open(connection, SentLink, ("used_at",), used_at=now)
    _close_open(connection, Grant, ("code_used_at",), code_used_at=now)
    for model in (EntryTicket, DeviceRequest, AdminLink, AdminVisit):
        connection.execute(sa.delete(model))


def _postpone_deletions(connection: sa.Connection, until: datetime) -> int:
    """Postpone deletions to ``until``, as owners may have kept their accounts since. The link to do so stays valid."""
    early = (Deletion.pseudonym.is_(None), Deletion.due_at < until)
    return connection.execute(sa.update(Deletion).where(*early).values(due_at=until)).rowcount


def _end_sessions(connection: sa.Connection, now: datetime) -> int:
    """End sessions of people, API clients and apps, and revoke API tokens and trust in devices."""
    ended = _close_open(connection, AuthSession, ("revoked_at",), revoked_at=now, expires_at=now, untold=False)
    _close_open(connection, ApiToken, ("revoked_at",), revoked_at=now)
    _close_open(connection, Grant, ("revoked_at",), revoked_at=now, ended_at=now)
    for model in (RefreshToken, AccessToken, AppSession):
        connection.execute(sa.delete(model))
    trusted = sa.update(KnownDevice.__table__).where(KnownDevice.trusted_until.is_not(None))
    connection.execute(trusted.values(trusted_until=None))
    return ended


def _close_open(connection: sa.Connection, model: Any, open_: tuple[str, ...], **values: Any) -> int:
    """Update the rows of ``model`` in which all columns of ``open_`` are NULL; return how many."""
    table = model.__table__
    is_open = [getattr(model, name).is_(None) for name in open_]
    return connection.execute(sa.update(table).where(*is_open).values(values)).rowcount
