"""Statements that PostgreSQL keeps prepared, run through libpq as ``psycopg.pq`` offers it (ADR 62).

psycopg's own cursor decides for each statement whether to prepare it, rewrites its placeholders, and waits in
generators of Python: several times what PostgreSQL takes to find a row by its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

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
        # As text, because a number's binary form depends on how wide the column is.
        given: Any = self._values.dump_sequence(arguments, [PyFormat.TEXT] * len(arguments))
        try:
            found = self._run(text, given)
        except (FeatureNotSupported, InvalidSqlStatementName):
            # A migration changed what it returns, or DEALLOCATE was run here, and others may be as stale. It has done
            # nothing yet, so it is run again, except in a transaction, which has failed with it.
            self._names.clear()
            if self._libpq.transaction_status != TransactionStatus.IDLE:
                raise
            found = self._run(text, given)
        self._found, changed = found, found.command_tuples
        self.rowcount = -1 if changed is None else changed

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that the last statement found."""
        self._values.set_pgresult(self._found)
        return self._values.load_rows(0, self._found.ntuples, tuple)

    def close(self) -> None:
        """Forget what was found: SQLAlchemy closes a cursor that failed, and this one goes on."""
        self._found = None

    def _run(self, text: str, given: Any) -> Any:
        name = self._names.get(text) or self._prepare(text)
        return self._checked(self._libpq.exec_prepared(name, given))

    def _prepare(self, text: str) -> bytes:
        # Through a pooler that nothing told us of, the name may be looked up among those that another process prepared:
        # there it must be missing, and never be another statement's.
        name = f"latchkey_{sha256(text.encode()).hexdigest()[:16]}_{next(_numbers)}".encode()
        self._checked(self._libpq.prepare(name, text.encode()))
        self._names[text] = name  # a rollback leaves it prepared
        return name

    def _checked(self, result: Any) -> Any:
        if result.status in _DONE:
            return result
        if self._libpq.status == ConnStatus.BAD:
            raise psycopg.OperationalError(result.get_error_message())
        raise error_from_result(result)
