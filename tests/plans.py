"""Query plans of the application's SQL statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from flask import Flask
from sqlalchemy import event


@contextmanager
def collected(app: Flask, *, of_requests: bool = False) -> Iterator[list[str]]:
    """Collect the query plan of each statement in a block, as one text each.

    The block gets an application context, unless it is ``of_requests``, which have their own.

    The application's connections avoid sequential scans, which PostgreSQL prefers for small tables
    (``app.db.postgresql.BY_INDEX``). A table that is still scanned has no suitable index.
    """
    from app.extensions import db

    asked: list[tuple[str, Any]] = []
    plans: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with nullcontext() if of_requests else app.app_context():
            yield plans
    finally:
        event.remove(engine, "before_cursor_execute", note)
    is_sqlite = engine.dialect.name == "sqlite"
    raw: Any = engine.raw_connection()
    try:
        for statement, parameters in asked:
            numbered = "$1" in statement  # prepared by app.db.prepared
            cursor = psycopg.RawCursor(raw.dbapi_connection) if numbered else raw.cursor()
            cursor.execute(("EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ") + statement, parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
    finally:
        raw.close()


def reads_whole(plan: str, table: str) -> bool:
    """Return whether a plan reads every row of a table without an index."""
    lines = [line.strip() for line in plan.splitlines()]
    sqlite = any(line == f"SCAN {table}" for line in lines)
    return sqlite or any(f"Seq Scan on {table}" in line for line in lines)
