"""The engine: autocommit reads, and one BEGIN before the first write, the same on both databases.

Connections run in autocommit mode, so that a read takes one round trip and no lock. Before the first writing statement
the engine opens a transaction (``BEGIN IMMEDIATE`` on SQLite, where upgrading a read transaction fails immediately if
another connection has written). Isolation is READ COMMITTED on both databases, so conditions checked before a write
are checked again by the conditional statement that writes.

A statement run with ``execution_options(autocommit=True)`` is its own transaction. Attempts are counted this way before
a passcode is compared, so that no later failure can undo the count. Such a statement doesn't wait for the disk, as
``use_async_commit`` explains: the next full transaction flushes both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import event

from app.db import disk_space, read_only, sqlite

WRITING = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "SAVEPOINT"))
LOCK_HELD = "latchkey.write_lock_held"
BEGUN = "latchkey.transaction_begun"
WROTE = "latchkey.transaction_wrote"
ASYNC_COMMIT = "latchkey.light_transaction"
SYNC_IS_NORMAL = "latchkey.unsynced"
LOCK_NAMES = "latchkey.names_to_hold"
QUEUED_AT = "latchkey.queued_at"


def engine_url(url: str) -> str:
    """Return the URL for ``create_engine``, with an SQLite path resolved against the working directory.

    For PostgreSQL the details go into ``engine_options``, as SQLAlchemy's URLs can't express all that libpq's can.
    """
    if not url.startswith("sqlite"):
        return "postgresql+psycopg://"
    path = url.removeprefix("sqlite:///")
    return url if path == url or path.startswith((":", "file:")) else f"sqlite:///{Path(path).absolute()}"


def engine_options(url: str, *, timeout: float, pool_size: int, pooled: bool = False) -> dict[str, Any]:
    """Return the options of ``create_engine`` for ``url``; ``timeout`` is in seconds.

    :param pooled: whether PostgreSQL is behind a pooler in transaction mode
    """
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": False}
    options["hide_parameters"] = True  # logged errors must not contain values
    options |= {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}
    if url.startswith("sqlite"):
        connect_args: dict[str, Any] = {"timeout": 0.0, "cached_statements": 512, "check_same_thread": False}
        connect_args["factory"] = sqlite.RetryingConnection
    else:
        from app.db import postgresql  # needs the driver, which is optional

        connect_args = postgresql.connect_arguments(url, timeout, pooled=pooled)
    if ":memory:" not in url:
        options |= {"pool_size": pool_size, "max_overflow": 4, "pool_timeout": 2}
    return options | {"connect_args": connect_args}


def attach(engine: sa.Engine, *, timeout: float) -> None:
    """Set up transactions and deadlines on ``engine``; ``timeout`` is in seconds.

    Listeners run in the order they are registered here, so that writers queue before BEGIN.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", sqlite.prepare)
        _queue_writers(engine, timeout)
    else:
        from app.db import clock_sync, postgresql

        clock_sync.follow(engine, postgresql.attach(engine, timeout))
        event.listen(engine, "handle_error", disk_space.remember_if_full)
    event.listen(engine, "handle_error", read_only.raise_if_read_only)
    event.listen(engine, "before_cursor_execute", _begin_before_writing)
    event.listen(engine, "commit", _clear_transaction)
    event.listen(engine, "rollback", _clear_transaction)


def _writes(statement: str) -> bool:
    return statement.split(None, 1)[0].upper() in WRITING


def _begin_before_writing(
    conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> None:
    info = conn.info
    names = info.pop(LOCK_NAMES, ())
    if info.get(BEGUN):
        if context and context.execution_options.get("autocommit"):
            raise RuntimeError("a statement that must commit at once came after another write")
        if names and conn.dialect.name != "sqlite":
            cursor.execute(_lock_statement(names))
        return
    if not (names or _writes(statement)):
        return
    autocommit = bool(context and context.execution_options.get("autocommit"))
    async_commit = autocommit or info.pop(ASYNC_COMMIT, False)
    if conn.dialect.name == "sqlite" and async_commit != info.get(SYNC_IS_NORMAL, False):
        cursor.execute(f"PRAGMA synchronous={'NORMAL' if async_commit else 'FULL'}")
        info[SYNC_IS_NORMAL] = async_commit
    if not autocommit:
        if conn.dialect.name == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        else:
            info[BEGUN] = True
            begin = "BEGIN" if async_commit else "BEGIN; SET LOCAL synchronous_commit TO on"
            cursor.execute(f"{begin}; {_lock_statement(names)}" if names else begin)
        info[BEGUN] = True


def _lock_statement(names: Sequence[str]) -> str:
    """Return the statement that locks these names, always in the same order to avoid deadlocks."""
    keys = sorted({int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True) for name in names})
    return "; ".join(f"SELECT pg_advisory_xact_lock({key})" for key in keys)


def has_written(conn: sa.Connection) -> bool:
    """Return whether ``conn`` is in a transaction, begun by a write or after ``serialize_on``."""
    return bool(conn.info.get(BEGUN))


def is_committing_writes(conn: sa.Connection) -> bool:
    """Return whether the transaction that ``conn`` is about to commit has written. For listeners of ``commit``."""
    return bool(conn.info.get(WROTE))


def began_at(conn: sa.Connection) -> float:
    """Return when the statement that ``conn`` is about to run began to wait for SQLite's write lock, or else now.

    By ``time.perf_counter``. For listeners that time statements: SQLAlchemy can't run them before ours.
    """
    queued_at: float | None = conn.info.pop(QUEUED_AT, None)
    return time.perf_counter() if queued_at is None else queued_at


def use_async_commit(conn: sa.Connection) -> None:
    """Let the next transaction on ``conn`` commit without waiting for the disk.

    It survives any crash of our processes, but may be lost in a power cut moments later. Use it for what can be
    requested again, never for what must not be undone: a used passcode, a session, a revocation.
    """
    conn.info[ASYNC_COMMIT] = True


def serialize_on(conn: sa.Connection, *names: str) -> None:
    """Run the next statements on ``conn`` in a transaction that is serialized with others on any of these names.

    What the transaction reads is still true when it writes. SQLite takes its only write lock before the first read.
    On PostgreSQL each name is an advisory lock, taken in the same round trip as BEGIN. Locks end with the transaction.
    """
    conn.info[LOCK_NAMES] = names


def _clear_transaction(conn: sa.Connection) -> None:
    if not conn.invalidated:  # the transaction of an invalidated connection is gone anyway
        info = conn.info
        info[WROTE] = info.pop(BEGUN, False)
        info.pop(ASYNC_COMMIT, None)
        info.pop(LOCK_NAMES, None)


def _queue_writers(engine: sa.Engine, timeout: float) -> None:
    """Have this process's writers queue for SQLite's single write lock instead of polling for it."""
    write_queue = sqlite.WriteQueue(timeout)

    @event.listens_for(engine, "before_cursor_execute")
    def acquire_write_lock(
        conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        info = conn.info
        if info.get(LOCK_HELD) or not (info.get(LOCK_NAMES) or _writes(statement)):
            return
        queued_at = time.perf_counter()
        background = context is not None and context.execution_options.get("in_background")
        cursor.connection.lock_wait = (
            write_queue.acquire_in_background() if background else max(write_queue.acquire(), 0.05)
        )
        info[LOCK_HELD], info[QUEUED_AT] = True, queued_at

    @event.listens_for(engine, "after_cursor_execute")
    def release_after_single_statement(
        conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        info = conn.info
        if info.get(LOCK_HELD) and not info.get(BEGUN):
            info.pop(LOCK_HELD)
            write_queue.release()

    @event.listens_for(engine, "invalidate")
    @event.listens_for(engine, "checkin")
    def release_write_lock(connection: Any, record: Any, *error: Any) -> None:
        if record.info.pop(LOCK_HELD, None):
            write_queue.release()
