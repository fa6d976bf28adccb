"""Retry while another process holds SQLite's write lock: short naps instead of long sleeps.

SQLite's own handler sleeps up to 0.1 s between two looks, while a transaction of ours takes a few milliseconds:
whoever came second would wait for the lock many times as long as it is held.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final

SHORT_NAP: Final = 0.0005
LONG_NAP: Final = 0.01
"""Seconds between two looks: short ones while a transaction of ours may have the lock, then long ones."""

SHORT_FOR: Final = 0.1
"""Seconds after which it must be something else that has the lock: a backup, another program."""

PRIMARY: Final = 0xFF
"""The part of an extended result code that names the error."""


class RetryingConnection(sqlite3.Connection):
    """A connection whose statements wait ``patience`` seconds for a lock."""

    patience: float = 5.0

    def cursor(self, *given: Any) -> Any:
        """Return a cursor that waits."""
        return super().cursor(RetryingCursor)


class RetryingCursor(sqlite3.Cursor):
    """Runs a statement again that found the database locked; it has changed nothing."""

    def execute(self, *given: Any) -> Any:
        """Run one statement.

        :raises sqlite3.OperationalError: also when the lock does not come in time
        """
        try:
            return super().execute(*given)
        except sqlite3.OperationalError as error:
            if not _is_locked(error):
                raise
        return self._again(super().execute, given)  # out here nothing holds the error, whose frames hold this cursor

    def _again(self, run: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        began = time.monotonic()
        waited = 0.0
        while waited < self.connection.patience:  # type: ignore[attr-defined]
            time.sleep(SHORT_NAP if waited < SHORT_FOR else LONG_NAP)
            try:
                return run(*given)
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
            waited = time.monotonic() - began
        return run(*given)


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & PRIMARY == sqlite3.SQLITE_BUSY
