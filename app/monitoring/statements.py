"""How long statements take: two listeners on the engine, which the statements compiled once notify as well."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from app import metrics

BEGAN = "latchkey.statement_began"


def time_statements(engine: sa.Engine) -> None:
    """Time every statement of ``engine`` from before it waits for SQLite's write lock; a COMMIT is none."""
    if not event.contains(engine, "before_cursor_execute", _before):
        event.listen(engine, "before_cursor_execute", _before, insert=True)
        event.listen(engine, "after_cursor_execute", _after)


def _before(conn: sa.Connection, *_rest: Any) -> None:
    conn.info[BEGAN] = time.perf_counter()


def _after(conn: sa.Connection, *_rest: Any) -> None:
    metrics.STATEMENTS.observe(time.perf_counter() - conn.info[BEGAN])
