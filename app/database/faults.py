"""Which errors mean that the database is away, rather than that our code is wrong."""

from __future__ import annotations

from sqlalchemy import exc


class DatabaseUnavailable(Exception):
    """The database did not answer in time, or is known not to; try again shortly."""


def unavailable(error: BaseException) -> bool:
    """Say whether ``error`` comes from a database that is gone, locked, full or too slow."""
    if isinstance(error, (DatabaseUnavailable, exc.TimeoutError, exc.OperationalError)):
        return True
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated
