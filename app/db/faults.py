"""Which errors mean that the database is unavailable, rather than that our code is wrong."""

from __future__ import annotations

from sqlalchemy import exc

AWAY = ("08", "57P", "25006", "25P03", "25P04")
"""SQLSTATEs, by how they begin, after which a connection is of no use (PostgreSQL, appendix A): it is broken, its
server stops or starts, its server takes no writes any more (a failover that left connections open), or its
transaction was ended with it."""


class DatabaseUnavailable(Exception):
    """The database did not answer in time, or is known not to; try again shortly."""


class DatabaseReadOnly(DatabaseUnavailable):
    """The database answers, but takes no writes: a standby, or a primary that was demoted."""


class PoolerFound(Exception):
    """A connection pooler stands before the database, and the settings do not say so."""

    def __str__(self) -> str:
        return (
            "LATCHKEY_DATABASE_URL leads to a connection pooler (PgBouncer), which drops what we set for a connection. "
            "Set LATCHKEY_DATABASE_POOLER=transaction, or name the database itself."
        )


def unavailable(error: BaseException) -> bool:
    """Say whether ``error`` comes from a database that is gone, locked, full, read-only or too slow."""
    if isinstance(error, (DatabaseUnavailable, exc.TimeoutError, exc.OperationalError)):
        return True
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def is_away(error: BaseException) -> bool:
    """Say whether ``error`` of the driver means that its connection, and others like it, should be dropped."""
    state = getattr(error, "sqlstate", None)
    return state is not None and state.startswith(AWAY)
