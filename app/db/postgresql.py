"""PostgreSQL: connections, deadlines, and connection poolers (ADR 31).

``statement_timeout`` runs inside PostgreSQL and doesn't help if that process is frozen. So a watchdog thread in each
web process shuts down the socket of an overdue statement. The driver then sees a closed connection, and the pool drops
it.

A pooler in transaction mode (PgBouncer) may run each transaction on a different server connection. Session settings
don't work there: the next transaction may not see them, but another client's may. So each transaction sets its own
deadlines. A single statement is sent together with the one that sets them, as one transaction in one round trip (libpq
pipeline mode). In an explicit transaction they are part of ``BEGIN``.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy import event, exc

from app.db.compiled import PREPARED
from app.db.faults import DatabaseReadOnly, DatabaseUnavailable, PoolerFound, is_connection_lost
from app.db.prepared import PreparedCursor
from config.postgresql import parameters

STUCK_AFTER = 1.0
"""Seconds after which a running statement counts as stuck."""

MAX_STUCK = 8
"""With this many stuck statements, further ones are rejected immediately."""

CHECK_INTERVAL = 0.25
"""Seconds between two checks of the watchdog."""


class Watchdog:
    """Ends statements that run longer than ``limit`` seconds by shutting down their socket."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._running: dict[Any, float] = {}
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._start_lock = threading.Lock()

    def begin(self, connection: Any) -> None:
        """Record that ``connection`` (a psycopg connection) starts a statement.

        :raises DatabaseUnavailable: when too many statements are already stuck
        """
        if self._pid != os.getpid():
            self._start()
        now = time.monotonic()
        if len(self._running) >= MAX_STUCK and self._stuck(now) >= MAX_STUCK:
            raise DatabaseUnavailable("too many statements wait for the database")
        self._running[connection] = now

    def end(self, connection: Any) -> None:
        """Record that the statement of ``connection`` has ended."""
        self._running.pop(connection, None)

    def _stuck(self, now: float) -> int:
        return sum(now - began > STUCK_AFTER for began in list(self._running.values()))

    def _start(self) -> None:
        with self._start_lock:
            if self._pid == os.getpid():
                return
            self._running = {}
            self._thread = threading.Thread(target=self._watch, name="database-deadlines", daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL)
            overdue = time.monotonic() - self.limit
            for connection, began in list(self._running.items()):
                if began < overdue and self._running.pop(connection, None) is not None:
                    _shut_down(connection)


def _shut_down(connection: Any) -> None:
    with suppress(Exception):
        sock = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            sock.shutdown(socket.SHUT_RDWR)
        finally:
            sock.close()


class PooledCursor(psycopg.Cursor[Any]):
    """A cursor that applies ``settings`` at the start of each transaction."""

    settings: ClassVar[dict[str, str]]
    _set_all: ClassVar[bytes]

    def execute(self, query: Any, params: Any = None, **options: Any) -> PooledCursor:
        """Run one statement, in the current transaction or in its own."""
        if self._in_transaction():
            return super().execute(query, params, **options)
        if isinstance(query, str) and query.startswith("BEGIN"):
            return super().execute(query.replace("BEGIN", f"BEGIN; {self._set_local()}", 1))
        with self.connection.pipeline():
            self._set()
            super().execute(query, params, **options)
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], *, returning: bool = False) -> None:
        """Run one statement with each set of parameters."""
        if self._in_transaction():
            super().executemany(query, params_seq, returning=returning)
            return
        with self.connection.pipeline():
            self._set()
            super().executemany(query, params_seq, returning=returning)

    def _in_transaction(self) -> bool:
        return self.connection.pgconn.transaction_status != TransactionStatus.IDLE

    def _set(self) -> None:
        """Apply the settings until the end of the pipeline, which is an implicit transaction."""
        psycopg.Cursor(self.connection).execute(self._set_all)

    def _set_local(self) -> str:
        return "; ".join(f"SET LOCAL {name} TO '{value}'" for name, value in self.settings.items())


def cursor_with(settings: dict[str, str]) -> type[PooledCursor]:
    """Return a cursor class whose transactions begin with these settings."""
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    return type("PooledCursor", (PooledCursor,), {"settings": settings, "_set_all": f"SELECT {calls}".encode()})


UNSUPPORTED_PARAMETER_ERROR = "unsupported startup parameter"
"""PgBouncer's error for a connection with startup parameters it doesn't support."""


PLANNER_SETTINGS = {"enable_seqscan": "off", "jit": "off"}
"""Use an index whenever there is one. PostgreSQL keeps the plan of a prepared statement until the table is next
analyzed, and a plan made while the table was small or empty would scan it sequentially, however large it has grown.
Behind a pooler nothing is prepared, so every plan is made for the table as it is.

JIT is off because, up to PostgreSQL 17, disabling sequential scans adds ten billion to the cost of reading a table
without a suitable index. Statements that expensive are compiled first, which takes 0.5 to 4 seconds for a few rows.
"""


def connect_arguments(url: str, timeout: float, *, pooled: bool) -> dict[str, Any]:
    """Return psycopg's connection arguments: everything from ``url``, plus our deadline ``timeout`` in seconds.

    :raises ValueError: when libpq can't use ``url``
    """
    arguments: dict[str, Any] = {"connect_timeout": 2, **parameters(url)}
    # Frequent statements are prepared by app.db.prepared. psycopg would prepare any statement it runs several times,
    # with a generic plan, and would deallocate all prepared statements on the next rollback.
    arguments["prepare_threshold"] = None
    if "," in arguments.get("host", ""):
        arguments.setdefault("target_session_attrs", "read-write")  # of several servers, use the writable one
    milliseconds = str(int(timeout * 1000))
    deadlines = {"statement_timeout": milliseconds, "lock_timeout": milliseconds, "synchronous_commit": "off"}
    if pooled:
        os.environ["PGTZ"] = "UTC"  # libpq sends it at startup; poolers accept it and keep it per client
        return arguments | {"cursor_factory": cursor_with(deadlines)}
    url_options = [arguments["options"]] if "options" in arguments else []
    our_options = [f"-c {name}={value}" for name, value in (deadlines | PLANNER_SETTINGS | {"timezone": "UTC"}).items()]
    return arguments | {"options": " ".join(url_options + our_options)}


def refuse_unseen_pooler(timeout: float) -> Callable[[Any, Any], None]:
    """Return a listener that rejects a connection without our deadline, which a pooler on the way must have dropped.

    The listener raises PoolerFound.
    """
    expected = str(int(timeout * 1000))

    def check_deadline(connection: Any, record: Any) -> None:
        if issubclass(connection.cursor_factory, PooledCursor):
            return
        connection.autocommit = True
        row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'").fetchone()
        if row != (expected,):
            connection.close()
            raise PoolerFound

    return check_deadline


def attach(engine: sa.Engine, timeout: float) -> Watchdog:
    """Enforce ``timeout`` in seconds on ``engine``, and have it drop unusable connections; return the watchdog."""
    watchdog = Watchdog(timeout)
    event.listen(engine, "first_connect", refuse_unseen_pooler(timeout))
    event.listen(engine, "connect", _refuse_read_only)
    event.listen(engine, "connect", _prepare_statements)
    event.listen(engine, "checkout", _refuse_closed_socket)
    event.listen(engine, "checkout", _drop_read_only)
    event.listen(engine, "handle_error", _drop_lost_connection)
    _watch(engine, watchdog)
    return watchdog


def _prepare_statements(connection: Any, record: Any) -> None:
    if not issubclass(connection.cursor_factory, PooledCursor):  # behind a pooler, server connections change
        record.info[PREPARED] = PreparedCursor(connection)


def _refuse_closed_socket(connection: Any, record: Any, proxy: Any) -> None:
    """Drop a pooled connection that the server has closed: its idle socket is readable. No round trip."""
    if connection.closed:
        raise exc.DisconnectionError("the connection was closed")
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    if poll.poll(0):
        raise exc.DisconnectionError("the server closed the connection")


READ_ONLY_PARAMETERS = (b"in_hot_standby", b"default_transaction_read_only")
"""Parameters that a server (14 and later) reports unasked whenever they change, so checking needs no round trip."""


NOT_WRITABLE_ERROR = "session is read-only"
"""libpq's error for a server that doesn't satisfy ``target_session_attrs=read-write``."""


def _is_read_only(connection: Any) -> bool:
    return any(connection.pgconn.parameter_status(name) == b"on" for name in READ_ONLY_PARAMETERS)


def _refuse_read_only(connection: Any, record: Any) -> None:
    """Reject a new connection to a read-only server, whose data may be out of date."""
    if _is_read_only(connection):
        connection.close()
        raise DatabaseReadOnly("the database takes no writes")


def _drop_read_only(connection: Any, record: Any, proxy: Any) -> None:
    """Invalidate the pool when its server has become read-only: the host name may lead to another server by now."""
    if _is_read_only(connection):
        raise exc.InvalidatePoolError("the database takes no writes any more")


def _drop_lost_connection(context: Any) -> None:
    """Drop connection and pool after errors that make them useless, even if the connection is still open."""
    error = context.original_exception
    if context.connection is not None:
        context.is_disconnect = context.is_disconnect or is_connection_lost(error)
    elif NOT_WRITABLE_ERROR in str(error):
        raise DatabaseReadOnly("no server of the database takes writes") from error
    elif UNSUPPORTED_PARAMETER_ERROR in str(error):
        raise PoolerFound from error


def _watch(engine: sa.Engine, watchdog: Watchdog) -> None:
    @event.listens_for(engine, "before_cursor_execute")
    def begin(conn: sa.Connection, *rest: Any) -> None:
        watchdog.begin(conn.connection.dbapi_connection)

    @event.listens_for(engine, "after_cursor_execute")
    def end(conn: sa.Connection, *rest: Any) -> None:
        watchdog.end(conn.connection.dbapi_connection)

    @event.listens_for(engine, "handle_error")
    def failed(context: Any) -> None:
        if context.connection is not None and not context.connection.invalidated:
            watchdog.end(context.connection.connection.dbapi_connection)

    @event.listens_for(engine, "commit")
    def begin_commit(conn: sa.Connection) -> None:
        watchdog.begin(conn.connection.dbapi_connection)

    @event.listens_for(engine, "invalidate")
    @event.listens_for(engine, "checkin")
    def connection_returned(connection: Any, record: Any, *error: Any) -> None:
        watchdog.end(connection)
