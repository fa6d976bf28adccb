"""Delete expired rows, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.orm import scoped_session

BATCH = 1000
"""Rows a statement deletes at the most: a writer that waits for it hardly notices."""

Cleanup = Callable[[], int]
"""Deletes one batch, commits it and returns how many rows went."""

_REGISTERED = "latchkey.cleanups"


def register_cleanups(app: Flask, *cleanups: Cleanup) -> None:
    """Have the worker call each of these now and then, until it returns 0."""
    app.extensions.setdefault(_REGISTERED, []).extend(cleanups)


def registered_cleanups() -> list[Cleanup]:
    """Return what is registered with the app that runs."""
    return list(current_app.extensions[_REGISTERED])


def delete_batch(session: scoped_session[Any], model: Any, old: sa.ColumnElement[bool]) -> int:
    """Delete at most ``BATCH`` rows of ``model`` that are ``old``; return how many. Commits by itself."""
    (key,) = model.__table__.primary_key.columns
    keys = sa.select(key).where(old).limit(BATCH)
    statement = sa.delete(model).where(key.in_(keys))
    done = session.execute(statement.execution_options(synchronize_session=False, at_once=True))
    return cast("sa.CursorResult[Any]", done).rowcount
