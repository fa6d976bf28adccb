"""Delete expired rows in batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.orm import scoped_session

BATCH = 1000
"""Maximum rows deleted per statement, so that waiting writers are hardly delayed."""

SCAN_TIME = 1.0
"""Maximum seconds a walk scans at a time. A million rows take three such runs, ten minutes apart."""

Cleanup = Callable[[], int]
"""Deletes one batch, commits, and returns the number of deleted rows."""

_REGISTERED = "latchkey.cleanups"


def register_cleanups(app: Flask, *cleanups: Cleanup) -> None:
    """Have the worker periodically call each of these until it returns 0."""
    app.extensions.setdefault(_REGISTERED, []).extend(cleanups)


def registered_cleanups() -> list[Cleanup]:
    """Return the cleanups registered with the current app."""
    return list(current_app.extensions[_REGISTERED])


class Walk:
    """Scans a table by primary key for old rows, where maintaining an index on every write would cost more.

    Create one per process. Each run continues where the last one ended.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        (self._key,) = model.__table__.primary_key.columns
        self._after: Any = None

    def delete_batch(self, session: scoped_session[Any], old: sa.ColumnElement[bool]) -> int:
        """Scan until a batch contains ``old`` rows, and delete those; return how many. Runs in its own transaction.

        Returns 0 at the end of the table, after which the next run starts over, or after ``SCAN_TIME``.
        """
        until = time.monotonic() + SCAN_TIME
        while True:
            begin = [] if self._after is None else [self._key > self._after]
            page = sa.select(self._key, old.label("is_old")).where(*begin).order_by(self._key).limit(BATCH)
            rows = session.execute(page).all()
            self._after = rows[-1][0] if len(rows) == BATCH else None
            if found := [key for key, is_old in rows if is_old]:
                return _delete(session, self._model, sa.and_(self._key.in_(found), old))
            if self._after is None or time.monotonic() > until:
                return 0


def delete_batch(session: scoped_session[Any], model: Any, old: sa.ColumnElement[bool]) -> int:
    """Delete up to ``BATCH`` rows of ``model`` that are ``old``; return how many. Runs in its own transaction."""
    (key,) = model.__table__.primary_key.columns
    return _delete(session, model, key.in_(sa.select(key).where(old).limit(BATCH)))


def _delete(session: scoped_session[Any], model: Any, condition: sa.ColumnElement[bool]) -> int:
    statement = sa.delete(model).where(condition)
    result = session.execute(statement.execution_options(synchronize_session=False, autocommit=True))
    return cast("sa.CursorResult[Any]", result).rowcount
