"""Delete what is past its time, a batch at a time, so that no table grows past what is alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import scoped_session

BATCH = 1000
"""Rows a statement deletes at the most: a writer that waits for it hardly notices."""

Cleanup = Callable[[], int]

CLEANUPS: list[Cleanup] = []
"""What the worker calls now and then, each until it returns 0."""


def cleanup(function: Cleanup) -> Cleanup:
    """Register a function that deletes one batch, commits it and returns how many rows went."""
    if function not in CLEANUPS:
        CLEANUPS.append(function)
    return function


def delete_batch(session: scoped_session[Any], model: Any, old: sa.ColumnElement[bool]) -> int:
    """Delete at most ``BATCH`` rows of ``model`` that are ``old``; return how many. Commits by itself."""
    ids = sa.select(model.id).where(old).limit(BATCH)
    statement = sa.delete(model).where(model.id.in_(ids))
    done = session.execute(statement.execution_options(synchronize_session=False, at_once=True))
    return cast("sa.CursorResult[Any]", done).rowcount
