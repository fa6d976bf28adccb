"""A full disk on PostgreSQL: noticed when a write fails, and then checked until there is room again.

PostgreSQL only reports a full disk when a write fails, and looking for it would cost every request a write. So each
process remembers such a failure. From then on, its readiness checks try to write new pages, until that succeeds. Any
other write that succeeds proves nothing, since there may be free space in pages that exist.

On SQLite the readiness check always writes, so there is nothing to remember.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog
from sqlalchemy import exc

from app.db.faults import DatabaseUnavailable
from app.db.sqlite import PRIMARY_RESULT

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

log = structlog.get_logger()

SQLSTATE: Final = "53100"
TRY_EVERY: Final = 1.0
"""Minimum seconds between two attempts to write by the same process."""

ROWS: Final = 64
"""Rows of 1 kB that an attempt writes: eight new pages, in a table that is rolled back."""


class DatabaseFull(DatabaseUnavailable):
    """The database responds but has no disk space for new rows."""


class _Full:
    """The disk of an engine's database is full, as far as this process knows."""

    def __init__(self) -> None:
        self.trying = threading.Lock()
        self.next_try = 0.0


_full: weakref.WeakKeyDictionary[sa.Engine, _Full] = weakref.WeakKeyDictionary()
_listeners: list[Callable[[bool], None]] = []


def on_change(listener: Callable[[bool], None]) -> None:
    """Call ``listener`` with True for each write that finds the disk full, and with False once there is room again."""
    _listeners.append(listener)


def means_full(error: BaseException) -> bool:
    """Return whether ``error``, from a driver or from SQLAlchemy, means that the disk is full."""
    if isinstance(error, DatabaseFull):
        return True
    reason = getattr(error, "orig", None) or error
    if isinstance(reason, sqlite3.Error):
        return getattr(reason, "sqlite_errorcode", 0) & PRIMARY_RESULT == sqlite3.SQLITE_FULL
    return getattr(reason, "sqlstate", None) == SQLSTATE


def remember_if_full(context: ExceptionContext) -> None:
    """Remember an error that means that PostgreSQL's disk is full. Runs as the engine's error listener."""
    if context.engine is not None and means_full(context.original_exception):
        suspect(context.engine)
        _notify(True)


def suspect(engine: sa.Engine) -> None:
    """Have readiness checks of this process try to write before they report that the database is writable."""
    _full.setdefault(engine, _Full())


def refuse_if_full(engine: sa.Engine) -> None:
    """Raise unless there is disk space, as far as known. No statement unless a write has failed before.

    :raises DatabaseFull: while writes fail
    """
    state = _full.get(engine)
    if state is None:
        return
    with state.trying:
        if time.monotonic() >= state.next_try:
            state.next_try = time.monotonic() + TRY_EVERY
            if _has_room(engine) and _full.pop(engine, None) is not None:
                log.info("database.has_room")
                _notify(False)
        if engine in _full:
            raise DatabaseFull("the disk of the database is full")


def _has_room(engine: sa.Engine) -> bool:
    """Return whether the database can write new pages: a table of its own, which is rolled back.

    A user who may not create tables can't find out, and then the next write that fails will tell.
    """
    table = f"latchkey_room_{token_hex(8)}"
    fill = f"CREATE TABLE {table} AS SELECT repeat('x', 1000) AS x FROM generate_series(1, {ROWS})"  # noqa: S608
    with engine.connect() as connection:
        try:
            connection.exec_driver_sql(fill)
        except exc.DBAPIError as error:
            if means_full(error):
                return False
            if not isinstance(error, exc.ProgrammingError):
                raise
        finally:
            connection.rollback()
    return True


def _notify(full: bool) -> None:
    for listener in _listeners:
        listener(full)
