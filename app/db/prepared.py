"""Statements that PostgreSQL keeps prepared, run through libpq as ``psycopg.pq`` offers it (ADR 62).

psycopg's own cursor decides for each statement whether to prepare it, rewrites its placeholders, and waits in
generators of Python: several times what PostgreSQL takes to find a row by its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus

_numbers = count(1)
_DONE = frozenset((ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK))


class PreparedCursor:
    """Runs statements on one connection for as long as that lives, one after the other.

    It is as much of a cursor as the engine's listeners ask for: ``connection``, ``execute``, ``rowcount``.
    """

    is_numbered = True
    """Its texts have ``$1`` and on for their values."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.rowcount = -1
        self._libpq = connection.pgconn
        self._values = Transformer(connection)
        self._names: dict[str, bytes] = {}
        self._found: Any = None

    def execute(self, text: str, arguments: Sequence[Any] | None = None) -> None:
        """Run ``text``, with values for ``$1`` and on; without any it may be several statements, and is not prepared.

        It waits without holding up other threads, and ends as the connection does: with an error of the driver.
        :raises psycopg.Error: as a cursor of psycopg would
        """
        if arguments is None:
            self._found = self._checked(self._libpq.exec_(text.encode()))
            return
        name = self._names.get(text) or self._prepare(text)
        # As text, because a number's binary form depends on how wide the column is.
        given: Any = self._values.dump_sequence(arguments, [PyFormat.TEXT] * len(arguments))
        try:
            found = self._found = self._checked(self._libpq.exec_prepared(name, given))
        except (FeatureNotSupported, InvalidSqlStatementName):
            # A migration changed what it returns, or DEALLOCATE was run here: the next run prepares it again.
            del self._names[text]
            raise
        changed = found.command_tuples
        self.rowcount = -1 if changed is None else changed

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that the last statement found."""
        self._values.set_pgresult(self._found)
        return self._values.load_rows(0, self._found.ntuples, tuple)

    def close(self) -> None:
        """Forget what was found: SQLAlchemy closes a cursor that failed, and this one goes on."""
        self._found = None

    def _prepare(self, text: str) -> bytes:
        name = b"latchkey_%d" % next(_numbers)
        self._checked(self._libpq.prepare(name, text.encode()))
        self._names[text] = name  # a rollback leaves it prepared
        return name

    def _checked(self, result: Any) -> Any:
        if result.status in _DONE:
            return result
        if self._libpq.status == ConnStatus.BAD:
            raise psycopg.OperationalError(result.get_error_message())
        raise error_from_result(result)
