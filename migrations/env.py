"""Run migrations on the database of the current app; ``flask db`` and ``flask serve`` come here."""

from __future__ import annotations

import sqlalchemy as sa
import structlog
from alembic import context
from flask import current_app

from app.database import UtcDateTime, revisions

log = structlog.get_logger()

LOCK = 0x1A7C4
"""Advisory lock by which two starting processes take turns."""


def render_item(kind: str, item: object, autogen: object) -> str | bool:
    """Write our column types as what the database keeps, so that a migration never imports the app."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def is_upgrade_of(found: revisions.Fit) -> bool:
    """Say whether this run was asked for the newest revision that this release knows."""
    try:
        return context.get_revision_argument() == found.head
    except KeyError:  # a command that only looks
        return False


def migrate(connection: sa.Connection) -> None:
    """Bring the schema of ``connection`` where it was asked to be, in one transaction."""
    found = revisions.fit(connection)
    if found.newer and is_upgrade_of(found):
        # As when a release is taken back, and its start-up runs flask db upgrade: there is nothing to do.
        log.warning("database.newer_than_release", revision=found.newer, known=found.head)
        return
    migrate_extension = current_app.extensions["migrate"]
    context.configure(
        connection=connection,
        target_metadata=migrate_extension.db.metadata,
        render_item=render_item,
        transaction_per_migration=False,
        **migrate_extension.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


engine = current_app.extensions["migrate"].db.engine
with engine.connect() as connection:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
    try:
        migrate(connection)
        connection.commit()
    finally:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
