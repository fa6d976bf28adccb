"""Run migrations on the database of the current app; ``flask db`` and ``flask serve`` come here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context
from flask import current_app

from app.database import UtcDateTime

LOCK = 0x1A7C4
"""Advisory lock by which two starting processes take turns."""


def render_item(kind: str, item: object, autogen: object) -> str | bool:
    """Write our column types as what the database keeps, so that a migration never imports the app."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def migrate(connection: sa.Connection) -> None:
    """Bring the schema of ``connection`` where it was asked to be, in one transaction."""
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
