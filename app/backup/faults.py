"""Errors of backups, restores and moves, worded for the operator."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError

from app.db.faults import DatabaseUnavailable, unreachable_reason

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL = "53100"
"""SQLSTATE ``disk_full`` (PostgreSQL, appendix A)."""


class BackupError(Exception):
    """What is wrong and how to fix it. Contains no secrets."""


@contextmanager
def readable_errors(place: Path | str, outcome: str) -> Iterator[None]:
    """Turn disk and database errors at ``place`` into a readable sentence.

    :param outcome: what didn't happen, as in "Nothing was written"
    :raises BackupError: in place of the original error
    """
    try:
        yield
    except (OSError, sqlite3.Error, psycopg.Error, DBAPIError, DatabaseUnavailable) as error:
        raise BackupError(_sentence(error, place, outcome)) from error


def _sentence(error: BaseException, place: Path | str, outcome: str) -> str:
    reason = getattr(error, "orig", None) or error
    if _is_full(reason):
        return f"No room is left at {place}. {outcome}. Free space there, or use another disk."
    if isinstance(reason, OSError):
        return f"{place}: {reason.strerror or reason}. {outcome}."
    if isinstance(reason, psycopg.OperationalError) and (known := unreachable_reason(error)):
        return f"The database {known[0]}. {outcome}. {known[1]}"
    return f"{place}: {str(reason).splitlines()[0]}. {outcome}."


def _is_full(reason: BaseException) -> bool:
    if isinstance(reason, OSError):
        return reason.errno in NO_ROOM
    if isinstance(reason, sqlite3.Error):
        return getattr(reason, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))
    return getattr(reason, "sqlstate", "") == DISK_FULL
