"""Statement timing: two engine event listeners, which compiled statements also call."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from app import metrics

BEGAN = "latchkey.statement_began"


def time_statements(engine: sa.Engine) -> None:
    """Time every statement of ``engine``, including the wait for SQLite's write lock, but not COMMITs."""
    if not event.contains(engine, "before_cursor_execute", _before):
        event.listen(engine, "before_cursor_execute", _before, insert=True)
        event.listen(engine, "after_cursor_execute", _after)


def _before(conn: sa.Connection, *_rest: Any) -> None:
    conn.info[BEGAN] = time.perf_counter()


def _after(conn: sa.Connection, *_rest: Any) -> None:
    metrics.STATEMENTS.observe(time.perf_counter() - conn.info[BEGAN])
