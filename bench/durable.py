"""How every Flask app of the benchmark is connected: a pool of one size, and commits as durable as Latchkey's."""

from typing import Any

import sqlalchemy as sa


def engine_options(url: str) -> dict[str, Any]:
    """Return the options of the engine for a database."""
    return {"pool_size": 16} | ({"connect_args": {"timeout": 5}} if url.startswith("sqlite") else {})


def make_durable(engine: sa.Engine) -> None:
    """Have SQLite keep a write-ahead log and sync it with each commit; PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
