"""How connections to PostgreSQL are made: directly, or through a pooler (ADR 31)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from app.db.faults import PoolerFound
from app.db.pooler import PooledCursor, cursor_with
from config.postgresql import parameters

UNSUPPORTED = "unsupported startup parameter"
"""What PgBouncer says of a connection that brings settings of its own."""


def connect_arguments(url: str, timeout: float, *, pooled: bool) -> dict[str, Any]:
    """Return what psycopg is given to connect to ``url``: all that stands there, and our deadline in seconds.

    :raises ValueError: when libpq can't use ``url``
    """
    found: dict[str, Any] = {"connect_timeout": 2, **parameters(url)}
    if "," in found.get("host", ""):
        found.setdefault("target_session_attrs", "read-write")  # of several servers the one that can be written
    milliseconds = str(int(timeout * 1000))
    deadlines = {"statement_timeout": milliseconds, "lock_timeout": milliseconds, "synchronous_commit": "off"}
    if pooled:
        os.environ["PGTZ"] = "UTC"  # libpq asks for it at the start; a pooler takes this, and keeps it for the client
        return found | {"prepare_threshold": None, "cursor_factory": cursor_with(deadlines)}
    given = [found["options"]] if "options" in found else []
    ours = [f"-c {name}={value}" for name, value in (deadlines | {"timezone": "UTC"}).items()]
    return found | {"options": " ".join(given + ours)}


def refuse_unseen_pooler(timeout: float) -> Callable[[Any, Any], None]:
    """Return what refuses a connection that came without our deadline: something on the way has dropped it.

    What is returned raises PoolerFound.
    """
    expected = str(int(timeout * 1000))

    def look(connection: Any, record: Any) -> None:
        if issubclass(connection.cursor_factory, PooledCursor):
            return
        connection.autocommit = True
        row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'").fetchone()
        if row != (expected,):
            connection.close()
            raise PoolerFound

    return look
