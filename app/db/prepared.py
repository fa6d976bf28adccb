"""Prepared statements for PostgreSQL, run directly through libpq with ``psycopg.pq`` (ADR 62).

On each execution, psycopg's own cursor decides whether to prepare the statement, rewrites its placeholders, and waits
in Python generators. That takes several times as long as PostgreSQL takes to look up a row by index.
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

_statement_numbers = count(1)
_SUCCEEDED = frozenset((ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK))


class PreparedCursor:
    """Runs statements on one connection, one at a time, for the lifetime of the connection.

    Implements only the part of the cursor interface that the engine's listeners need: ``connection``, ``execute``,
    ``rowcount``.
    """

    is_numbered = True
    """Its statements use ``$1`` and so on as placeholders."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.rowcount = -1
        self._libpq = connection.pgconn
        self._values = Transformer(connection)
        self._names: dict[str, bytes] = {}
        self._result: Any = None

    def execute(self, text: str, arguments: Sequence[Any] | None = None) -> None:
        """Run ``text`` with values for ``$1`` and so on.

        Without ``arguments``, the text is not prepared and may contain several statements. Other threads can run
        meanwhile. If the connection is closed, this raises a driver error.

        :raises psycopg.Error: as a psycopg cursor would
        """
        if arguments is None:
            self._result = self._check(self._libpq.exec_(text.encode()))
            return
        # Text format, because the binary form of a number depends on the width of the column.
        dumped: Any = self._values.dump_sequence(arguments, [PyFormat.TEXT] * len(arguments))
        try:
            found = self._run(text, dumped)
        except (FeatureNotSupported, InvalidSqlStatementName):
            # A migration changed its result columns, or someone ran DEALLOCATE. Other statements may be stale as well.
            # It had no effect yet, so run it again, unless it was in a transaction, which has failed with it.
            self._names.clear()
            if self._libpq.transaction_status != TransactionStatus.IDLE:
                raise
            found = self._run(text, dumped)
        self._result, changed = found, found.command_tuples
        self.rowcount = -1 if changed is None else changed

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last statement."""
        self._values.set_pgresult(self._result)
        return self._values.load_rows(0, self._result.ntuples, tuple)

    def close(self) -> None:
        """Discard the last result. SQLAlchemy closes a cursor that failed, but this one stays usable."""
        self._result = None

    def _run(self, text: str, dumped: Any) -> Any:
        name = self._names.get(text) or self._prepare(text)
        return self._check(self._libpq.exec_prepared(name, dumped))

    def _prepare(self, text: str) -> bytes:
        # Behind a pooler we don't know of, the name may be looked up on a connection that another process prepared
        # statements on. It must be unknown there, and never match a different statement.
        name = f"latchkey_{sha256(text.encode()).hexdigest()[:16]}_{next(_statement_numbers)}".encode()
        self._check(self._libpq.prepare(name, text.encode()))
        self._names[text] = name  # it stays prepared after a rollback
        return name

    def _check(self, result: Any) -> Any:
        if result.status in _SUCCEEDED:
            return result
        if self._libpq.status == ConnStatus.BAD:
            raise psycopg.OperationalError(result.get_error_message())
        raise error_from_result(result)
