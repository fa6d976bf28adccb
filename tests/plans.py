"""How a database would run what the application asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import event


@contextmanager
def collected(app: Flask) -> Iterator[list[str]]:
    """Collect the plan of each statement of a block, one text for each.

    PostgreSQL is told to avoid reading whole tables, which it prefers while they are small: what is read whole all
    the same has no index that helps.
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
            yield plans
        finally:
            event.remove(engine, "before_cursor_execute", note)
        is_sqlite = engine.dialect.name == "sqlite"
        raw: Any = engine.raw_connection()
        try:
            cursor = raw.cursor()
            if not is_sqlite:
                cursor.execute("SET enable_seqscan = off")
            for statement, parameters in asked:
                cursor.execute(("EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ") + statement, parameters)
                plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
            if not is_sqlite:
                cursor.execute("RESET enable_seqscan")
        finally:
            raw.close()


def reads_whole(plan: str, table: str) -> bool:
    """Say whether a plan reads every row of a table without an index."""
    lines = [line.strip() for line in plan.splitlines()]
    sqlite = any(line == f"SCAN {table}" for line in lines)
    return sqlite or any(f"Seq Scan on {table}" in line for line in lines)
