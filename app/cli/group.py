"""Command groups that tell an operator what to do when the database is unavailable."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.db import PoolerFound, unavailable

MISSING_TABLES = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")


class OperatorGroup(AppGroup):
    """A group whose commands run in the application's context; a database that is away is a sentence, not a trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            raise _explained(error) from error


def _explained(error: Exception) -> Exception:
    """Return what an operator should read instead of ``error``, or ``error`` itself."""
    if isinstance(error, PoolerFound):
        return click.ClickException(str(error))
    if isinstance(error, (OperationalError, ProgrammingError)):
        text = f"{type(error.orig).__name__} {error.orig}"
        if any(sign in text for sign in MISSING_TABLES):
            return click.ClickException("The database has not all its tables. Bring it up to date: flask db upgrade")
    if unavailable(error):
        return click.ClickException("The database does not answer. Look what is wrong with it: flask doctor")
    return error
