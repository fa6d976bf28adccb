"""Statements through a pooler that gives each transaction another connection to the server (PgBouncer, ADR 31).

Nothing may be set for a session there: what one transaction sets for it the next one may not find, or a stranger
does. So each transaction sets its own deadlines. A statement by itself is sent together with what sets them, as one
transaction in one round trip (libpq's pipeline); ``BEGIN`` carries them along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import psycopg
from psycopg.pq import TransactionStatus


class PooledCursor(psycopg.Cursor[Any]):
    """A cursor whose transactions each begin with ``settings``, by name."""

    settings: ClassVar[dict[str, str]]
    _set_all: ClassVar[bytes]

    def execute(self, query: Any, params: Any = None, **options: Any) -> PooledCursor:
        """Run one statement, in the transaction under way or in one of its own."""
        if self._in_transaction():
            return super().execute(query, params, **options)
        if isinstance(query, str) and query.startswith("BEGIN"):
            return super().execute(query.replace("BEGIN", f"BEGIN; {self._set_local()}", 1))
        with self.connection.pipeline():
            self._set()
            super().execute(query, params, **options)
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], *, returning: bool = False) -> None:
        """Run one statement with each of these parameters."""
        if self._in_transaction():
            super().executemany(query, params_seq, returning=returning)
            return
        with self.connection.pipeline():
            self._set()
            super().executemany(query, params_seq, returning=returning)

    def _in_transaction(self) -> bool:
        return self.connection.pgconn.transaction_status != TransactionStatus.IDLE

    def _set(self) -> None:
        """Set them until the end of the transaction that a pipeline is."""
        psycopg.Cursor(self.connection).execute(self._set_all)

    def _set_local(self) -> str:
        return "; ".join(f"SET LOCAL {name} TO '{value}'" for name, value in self.settings.items())


def cursor_with(settings: dict[str, str]) -> type[PooledCursor]:
    """Return a kind of cursor whose transactions begin with these settings."""
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    return type("PooledCursor", (PooledCursor,), {"settings": settings, "_set_all": f"SELECT {calls}".encode()})
