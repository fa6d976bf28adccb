"""Database connections of all Flask apps in the benchmark: the same pool size, and commits as durable as Latchkey's."""

from typing import Any

import sqlalchemy as sa


def engine_options(url: str) -> dict[str, Any]:
    """Return the engine options for a database."""
    return {"pool_size": 16} | ({"connect_args": {"timeout": 5}} if url.startswith("sqlite") else {})


def make_durable(engine: sa.Engine) -> None:
    """Make SQLite use a write-ahead log and sync it at each commit, as PostgreSQL does by default."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
