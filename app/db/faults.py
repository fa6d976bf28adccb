"""Which errors mean that the database is unavailable, and explanations of the cause for operators."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy import exc

CONNECTION_LOST = ("08", "57P", "25006", "25P03", "25P04")
"""SQLSTATE prefixes (PostgreSQL, appendix A) after which a connection is useless: it is broken, its server is stopping
or starting, its server has become read-only (a failover that left connections open), or the server closed it because
of a transaction timeout."""


class DatabaseUnavailable(Exception):
    """The database did not respond in time, or is known not to. Retry shortly."""


class DatabaseReadOnly(DatabaseUnavailable):
    """The database responds but accepts no writes: it is a standby or a demoted primary."""


class PoolerFound(Exception):
    """There is a connection pooler in front of the database that the settings don't mention."""

    def __str__(self) -> str:
        return (
            "LATCHKEY_DATABASE_URL leads to a connection pooler (PgBouncer), which drops what we set for a connection. "
            "Set LATCHKEY_DATABASE_POOLER=transaction, or name the database itself."
        )


def unavailable(error: BaseException) -> bool:
    """Return whether ``error`` means that the database is down, locked, full, read-only or too slow."""
    if isinstance(error, (DatabaseUnavailable, exc.TimeoutError, exc.OperationalError)):
        return True
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def is_connection_lost(error: BaseException) -> bool:
    """Return whether a driver error means that its connection, and others in the pool, should be dropped.

    A result without a code is libpq's own. It lost the connection, but the connection's status doesn't say so yet if a
    write failed and there was something left to read.
    """
    state = getattr(error, "sqlstate", None)
    if state is None:
        return getattr(error, "pgresult", None) is not None
    return bool(state.startswith(CONNECTION_LOST))


CHECK_USER = "Correct user and password in LATCHKEY_DATABASE_URL (special characters percent-encoded)."
CHECK_HOST = "Correct the host in LATCHKEY_DATABASE_URL, and check name resolution on this machine."
CHECK_SERVER = "Start PostgreSQL, or correct host and port in LATCHKEY_DATABASE_URL."
CHECK_TLS = "Look at sslmode, sslrootcert and the host in LATCHKEY_DATABASE_URL."

KNOWN_ERRORS: Final[tuple[tuple[str, str, str], ...]] = (
    ("password authentication failed", "refuses user or password", CHECK_USER),
    ("no password supplied", "wants a password", CHECK_USER),
    ('FATAL:  role "', "knows no such user", CHECK_USER),
    ('FATAL:  database "', "has no such database", "Make it (createdb), or correct its name in LATCHKEY_DATABASE_URL."),
    ("no pg_hba.conf entry", "admits no such connection", "Add a line for this machine to the server's pg_hba.conf."),
    ("permission denied for database", "does not admit this user", "GRANT CONNECT ON DATABASE to the user of the URL."),
    ("too many connections", "has no connection left", "Raise max_connections of the server, or use a pooler."),
    ("too many clients", "has no connection left", "Raise max_connections of the server, or use a pooler."),
    (
        "connection slots are reserved",
        "has no connection left",
        "Raise max_connections of the server, or use a pooler.",
    ),
    ("is starting up", "is starting", "Wait for it."),
    ("is shutting down", "is stopping", "Start it again."),
    ("unrecognized configuration parameter", "knows no such option", "Correct options in LATCHKEY_DATABASE_URL."),
    ("failed to resolve host", "is at a host whose name is not found", CHECK_HOST),
    ("could not translate host name", "is at a host whose name is not found", CHECK_HOST),
    ("does not support SSL", "offers no TLS", CHECK_TLS),
    ("certificate", "has a certificate that is not trusted", CHECK_TLS),
    ("SSL", "speaks no TLS that we know", CHECK_TLS),
    ("Connection refused", "does not listen there", CHECK_SERVER),
    ("No such file or directory", "has no socket there", CHECK_SERVER),
    ("timeout expired", "does not answer in time", "Look whether it runs, and for a firewall in between."),
    ("timed out", "does not answer in time", "Look whether it runs, and for a firewall in between."),
)
"""Substring of libpq's error, its meaning, and a remedy. The first match is used."""


def unreachable_reason(error: BaseException) -> tuple[str, str] | None:
    """Return why the database can't be reached ("refuses user or password") and a remedy; None if unknown."""
    reason = getattr(error, "orig", None) or error
    if isinstance(reason, sqlite3.Error):
        return f"can't be used ({reason})", "Look at its disk, and who may write there."
    text = str(reason)
    return next(((why, remedy) for part, why, remedy in KNOWN_ERRORS if part in text), None)
