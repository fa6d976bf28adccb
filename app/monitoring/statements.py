"""Statement and commit timing: listeners of the engine, which compiled statements also call, and of the session."""

from __future__ import annotations

import threading
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from app import metrics
from app.db import began_at, is_committing_writes
from app.extensions import db

BEGAN = "latchkey.statement_began"

_commit = threading.local()
"""When the commit that this thread is waiting for began."""


def time_statements(engine: sa.Engine) -> None:
    """Time every statement of ``engine``, including the wait for SQLite's write lock, and every COMMIT of a write."""
    if not event.contains(engine, "before_cursor_execute", _before):
        event.listen(engine, "before_cursor_execute", _before)
        event.listen(engine, "after_cursor_execute", _after)
        event.listen(engine, "commit", _before_commit)
        event.listen(engine, "handle_error", _after_failure)
        event.listen(db.session, "after_commit", _after_commit)


def stop_timing(engine: sa.Engine) -> None:
    """Stop timing the statements of ``engine``."""
    for name, listener in (
        ("before_cursor_execute", _before),
        ("after_cursor_execute", _after),
        ("commit", _before_commit),
        ("handle_error", _after_failure),
    ):
        event.remove(engine, name, listener)


def _before(conn: sa.Connection, *_rest: Any) -> None:
    conn.info[BEGAN] = began_at(conn)


def _after(conn: sa.Connection, *_rest: Any) -> None:
    metrics.STATEMENTS.observe(time.perf_counter() - conn.info[BEGAN])


def _before_commit(conn: sa.Connection) -> None:
    _commit.began = time.perf_counter() if is_committing_writes(conn) else None


def _after_commit(_session: Any) -> None:
    began = getattr(_commit, "began", None)
    if began is not None:
        _commit.began = None
        metrics.COMMITS.observe(time.perf_counter() - began, metrics.process_kind())


def _after_failure(context: Any) -> None:
    """Record a commit that failed, too: one that timed out was the slowest."""
    if context.statement is None:
        _after_commit(None)
