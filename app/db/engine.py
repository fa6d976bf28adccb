"""The engine: autocommit reads, one BEGIN before the first write, the same on both databases.

Connections run in autocommit, so that a read is one round trip and takes no lock. Before the first
writing statement the engine opens a transaction (``BEGIN IMMEDIATE`` on SQLite, where upgrading a
reading transaction fails at once when another connection has written). What is checked before that is
checked again by the conditional statement that changes it: READ COMMITTED on both databases.

A statement run with ``execution_options(at_once=True)`` is a transaction of its own. It counts
tries before a passcode is compared, so that no failure afterwards can undo the count. It does not wait for
the disk, as ``use_async_commit`` explains: the next full transaction writes both.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import event

from app.db import read_only, sqlite

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
    options["hide_parameters"] = True  # an error in the log must not show values
    options |= {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}
    if url.startswith("sqlite"):
        connect: dict[str, Any] = {"timeout": 0.0, "cached_statements": 512, "check_same_thread": False}
        connect["factory"] = sqlite.RetryingConnection
    else:
        from app.db import postgresql  # its driver is for those who have that database

        connect = postgresql.connect_arguments(url, timeout, pooled=pooled)
    if ":memory:" not in url:
        options |= {"pool_size": pool_size, "max_overflow": 4, "pool_timeout": 2}
    return options | {"connect_args": connect}


def attach(engine: sa.Engine, *, timeout: float) -> None:
    """Give ``engine`` its transactions and deadlines; ``timeout`` is in seconds.

    Listeners run in the order they are registered here: the turn in the queue comes before BEGIN.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", sqlite.prepare)
        _queue_writers(engine, timeout)
    else:
        from app.db import clock_sync, postgresql

        clock_sync.follow(engine, postgresql.attach(engine, timeout))
    event.listen(engine, "handle_error", read_only.say_so)
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


def _queue_writers(engine: sa.Engine, timeout: float) -> None:
    """Let the writers of this process queue for SQLite's one write lock instead of polling for it."""
    turns = sqlite.WriteQueue(timeout)

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
