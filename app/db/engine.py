"""The engine: autocommit reads, one BEGIN before the first write, the same on both databases.

Connections run in autocommit, so that a read is one round trip and takes no lock. Before the first
writing statement the engine opens a transaction (``BEGIN IMMEDIATE`` on SQLite, where upgrading a
reading transaction fails at once when somebody else has written). What is checked before that is
checked again by the conditional statement that changes it: READ COMMITTED on both databases.

A statement run with ``execution_options(at_once=True)`` is a transaction of its own. It counts
tries before a passcode is compared, so that no failure afterwards can undo the count. It does not wait for
the disk, as ``use_async_commit`` explains: the next full transaction writes both.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import event, exc

from app.db import clock_sync
from app.db.busy_retry import RetryingConnection
from app.db.deadlines import Watchdog
from app.db.faults import DatabaseReadOnly, PoolerFound, is_away
from app.db.postgresql import UNSUPPORTED, connect_arguments, refuse_unseen_pooler
from app.db.write_queue import WriteQueue

WRITING = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "SAVEPOINT"))
LOCK_HELD = "latchkey.write_lock_held"
BEGUN = "latchkey.transaction_begun"
LIGHT = "latchkey.light_transaction"
UNSYNCED = "latchkey.unsynced"
NAMES = "latchkey.names_to_hold"


def engine_url(url: str) -> str:
    """Return what ``create_engine`` is given for ``url``: only ``engine_options`` can say all that a URL of libpq says.

    An SQLite file's path is counted from the working directory, as everything else of ours is.
    """
    if not url.startswith("sqlite"):
        return "postgresql+psycopg://"
    path = url.removeprefix("sqlite:///")
    return url if path == url or path.startswith((":", "file:")) else f"sqlite:///{Path(path).absolute()}"


def engine_options(url: str, *, timeout: float, pool_size: int, pooled: bool = False) -> dict[str, Any]:
    """Return the options of ``create_engine`` for ``url``; ``timeout`` is in seconds.

    :param pooled: whether a pooler in transaction mode stands before PostgreSQL
    """
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": False}
    options["hide_parameters"] = True  # an error in the log must not tell what was asked for
    options |= {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}
    if url.startswith("sqlite"):
        connect: dict[str, Any] = {"timeout": 0.0, "cached_statements": 512, "check_same_thread": False}
        connect["factory"] = RetryingConnection
    else:
        connect = connect_arguments(url, timeout, pooled=pooled)
    if ":memory:" not in url:
        options |= {"pool_size": pool_size, "max_overflow": 4, "pool_timeout": 2}
    return options | {"connect_args": connect}


def attach(engine: sa.Engine, *, timeout: float) -> None:
    """Give ``engine`` its transactions and deadlines; ``timeout`` is in seconds.

    Listeners run in the order they are registered here: the turn in the queue comes before BEGIN.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        _queue_writers(engine, timeout)
    else:
        watchdog = Watchdog(timeout)
        event.listen(engine, "first_connect", refuse_unseen_pooler(timeout))
        event.listen(engine, "connect", _refuse_read_only)
        event.listen(engine, "do_execute", _plan_anew)
        event.listen(engine, "checkout", _refuse_closed_socket)
        event.listen(engine, "checkout", _drop_read_only)
        event.listen(engine, "handle_error", _drop_when_away)
        _watch(engine, watchdog)
        clock_sync.follow(engine, watchdog)
    event.listen(engine, "before_cursor_execute", _begin_before_writing)
    event.listen(engine, "commit", _forget_transaction)
    event.listen(engine, "rollback", _forget_transaction)


def _writes(statement: str) -> bool:
    return statement.split(None, 1)[0].upper() in WRITING


def _begin_before_writing(
    conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> None:
    info = conn.info
    names = info.pop(NAMES, ())
    if info.get(BEGUN):
        if context and context.execution_options.get("at_once"):
            raise RuntimeError("a statement that must commit at once came after another write")
        if names and conn.dialect.name != "sqlite":
            cursor.execute(_hold(names))
        return
    if not (names or _writes(statement)):
        return
    at_once = bool(context and context.execution_options.get("at_once"))
    light = at_once or info.pop(LIGHT, False)
    if conn.dialect.name == "sqlite" and light != info.get(UNSYNCED, False):
        cursor.execute(f"PRAGMA synchronous={'NORMAL' if light else 'FULL'}")
        info[UNSYNCED] = light
    if not at_once:
        if conn.dialect.name == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        else:
            info[BEGUN] = True
            begin = "BEGIN" if light else "BEGIN; SET LOCAL synchronous_commit TO on"
            cursor.execute(f"{begin}; {_hold(names)}" if names else begin)
        info[BEGUN] = True


def _plan_anew(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Run a statement with the execution option ``plan_anew`` without preparing it; leave others to SQLAlchemy.

    The plan of a prepared statement is made for no values in particular once it has run ten times. Where the best
    one depends on whose rows are asked for, and on how many, making it each time is far cheaper.
    """
    if not (context and context.execution_options.get("plan_anew")):
        return False
    cursor.execute(statement, parameters, prepare=False)
    return True


def _hold(names: Sequence[str]) -> str:
    """Return the statement that waits for these names, always in the same order, so that no two wait for each other."""
    keys = sorted({int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True) for name in names})
    return "; ".join(f"SELECT pg_advisory_xact_lock({key})" for key in keys)


def has_written(conn: sa.Connection) -> bool:
    """Say whether ``conn`` is in a transaction that has written something."""
    return bool(conn.info.get(BEGUN))


def use_async_commit(conn: sa.Connection) -> None:
    """Let the transaction that ``conn`` begins next be written without waiting for the disk.

    It survives every crash of ours; the last moments before a power cut it may not. For what can be asked for
    again, never for what must not be undone: a used passcode, a session, a revocation.
    """
    conn.info[LIGHT] = True


def serialize_on(conn: sa.Connection, *names: str) -> None:
    """Let what ``conn`` runs next be in a transaction, alone among those that take turns at any of these names.

    What it reads then still holds when it writes. SQLite has one write lock, and that is taken before the reading;
    on PostgreSQL each name is an advisory lock, taken in the round trip of BEGIN. Free again after the transaction.
    """
    conn.info[NAMES] = names


def _forget_transaction(conn: sa.Connection) -> None:
    if not conn.invalidated:  # what an invalidated connection had begun is gone with it
        info = conn.info
        info.pop(BEGUN, None)
        info.pop(LIGHT, None)
        info.pop(NAMES, None)


def _prepare_sqlite(connection: Any, record: Any) -> None:
    """WAL lets reads go on beside a write; FULL keeps a used code used after a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten, not left in pages that are free
    cursor.close()


def _queue_writers(engine: sa.Engine, timeout: float) -> None:
    """Let the writers of this process queue for SQLite's one write lock instead of polling for it."""
    turns = WriteQueue(timeout)

    @event.listens_for(engine, "before_cursor_execute")
    def take(conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        info = conn.info
        if info.get(LOCK_HELD) or not (info.get(NAMES) or _writes(statement)):
            return
        background = context is not None and context.execution_options.get("in_background")
        cursor.connection.patience = turns.take_in_background() if background else max(turns.take(), 0.05)
        info[LOCK_HELD] = True

    @event.listens_for(engine, "after_cursor_execute")
    def give_after_single_statement(
        conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        info = conn.info
        if info.get(LOCK_HELD) and not info.get(BEGUN):
            info.pop(LOCK_HELD)
            turns.give()

    @event.listens_for(engine, "invalidate")
    @event.listens_for(engine, "checkin")
    def give(connection: Any, record: Any, *error: Any) -> None:
        if record.info.pop(LOCK_HELD, None):
            turns.give()


def _refuse_closed_socket(connection: Any, record: Any, proxy: Any) -> None:
    """Drop a pooled connection whose server has gone: its idle socket is readable. No round trip."""
    if connection.closed:
        raise exc.DisconnectionError("the connection was closed")
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    if poll.poll(0):
        raise exc.DisconnectionError("the server closed the connection")


READ_ONLY = (b"in_hot_standby", b"default_transaction_read_only")
"""What a server (14 and later) reports about itself, by itself and whenever it changes: it costs no round trip."""


NOT_WRITABLE = "session is read-only"
"""What libpq says of a server that is not what ``target_session_attrs=read-write`` asks for."""


def _is_read_only(connection: Any) -> bool:
    return any(connection.pgconn.parameter_status(name) == b"on" for name in READ_ONLY)


def _refuse_read_only(connection: Any, record: Any) -> None:
    """Take no new connection to a server that can't be written: what it would show may be out of date."""
    if _is_read_only(connection):
        connection.close()
        raise DatabaseReadOnly("the database takes no writes")


def _drop_read_only(connection: Any, record: Any, proxy: Any) -> None:
    """Drop the pool when its server takes no writes any more: by now its name may lead to another one."""
    if _is_read_only(connection):
        raise exc.InvalidatePoolError("the database takes no writes any more")


def _drop_when_away(context: Any) -> None:
    """Drop connection and pool after errors that say so, though the connection itself is open still."""
    error = context.original_exception
    if context.connection is not None:
        context.is_disconnect = context.is_disconnect or is_away(error)
    elif NOT_WRITABLE in str(error):
        raise DatabaseReadOnly("no server of the database takes writes") from error
    elif UNSUPPORTED in str(error):
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
    def returned(connection: Any, record: Any, *error: Any) -> None:
        watchdog.end(connection)
