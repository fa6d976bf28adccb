"""The database: engine, transactions, deadlines and column types.

Guarantees that reads never take a lock and that no statement outlives its deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import configure_mappers

from app.db.columns import Base, BrowserName, UtcDateTime, db, partial_index
from app.db.engine import (
    attach,
    began_at,
    engine_options,
    engine_url,
    has_written,
    is_committing_writes,
    serialize_on,
    use_async_commit,
)
from app.db.faults import DatabaseReadOnly, DatabaseUnavailable, PoolerFound, unavailable
from app.db.read_only import ServiceReadOnly
from app.db.readiness import refuse_unless_writable

if TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "Base",
    "BrowserName",
    "DatabaseReadOnly",
    "DatabaseUnavailable",
    "PoolerFound",
    "ServiceReadOnly",
    "UtcDateTime",
    "attach",
    "began_at",
    "engine_options",
    "engine_url",
    "has_written",
    "is_committing_writes",
    "partial_index",
    "refuse_unless_writable",
    "serialize_on",
    "unavailable",
    "use_async_commit",
]


def init_app(app: Flask) -> None:
    """Bind the database to ``app``."""
    settings = app.extensions["latchkey.settings"]
    timeout = settings.statement_timeout.total_seconds()
    app.config["SQLALCHEMY_DATABASE_URI"] = engine_url(settings.database_url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(
        settings.database_url,
        timeout=timeout,
        pool_size=settings.pool_size,
        pooled=settings.database_pooler == "transaction",
    )
    db.init_app(app)
    with app.app_context():
        attach(db.engine, timeout=timeout)


def check_models() -> None:
    """Configure all mappers at startup rather than on the first query: rows read without the ORM need them as well."""
    configure_mappers()
