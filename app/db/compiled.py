"""Compiled statements for the sign-in path: compiled once, handed to the driver as they are.

Finding a compiled statement again, and making its result, costs SQLAlchemy several times what the database takes for
a row by its index. Here a statement becomes text, with what its values need on the way in and out, once for each kind
of database. It runs on the session's own connection and tells the engine's listeners, so that transactions,
deadlines and counts are those of every other statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, SessionTransaction

from app.db.session import db

Converter = Callable[[Any], Any]
CONNECTION = "latchkey.connection"


@sa.event.listens_for(db.session, "after_begin")
def _keep_connection(session: Session, transaction: SessionTransaction, connection: sa.Connection) -> None:
    """Finding a session's connection again costs it more than the session needs for the rest of a statement."""
    session.info[CONNECTION] = connection


@sa.event.listens_for(db.session, "after_transaction_create")
@sa.event.listens_for(db.session, "after_transaction_end")
def _forget_connection(session: Session, transaction: SessionTransaction) -> None:
    """A savepoint is set when the session is asked for its connection; and a transaction that ended has none."""
    session.info.pop(CONNECTION, None)


@dataclass(slots=True)
class Context:
    """What the engine's listeners ask of a statement's context."""

    execution_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A statement as one kind of database takes it.

    :ivar names: parameters in their order, each with its converter; ``by_name`` says how the driver wants them
    :ivar fixed: values that stand in the statement itself
    :ivar columns: place and converter of each column that the driver does not give as we want it
    """

    text: str
    names: tuple[tuple[str, Converter | None], ...]
    by_name: bool
    fixed: dict[str, Any]
    columns: tuple[tuple[int, Converter], ...]

    def arguments(self, values: dict[str, Any]) -> Any:
        if self.fixed:
            values = self.fixed | values
        if self.by_name:
            return {name: values[name] if convert is None else convert(values[name]) for name, convert in self.names}
        return tuple([values[name] if convert is None else convert(values[name]) for name, convert in self.names])

    def row(self, found: Sequence[Any]) -> Sequence[Any]:
        if not self.columns:
            return found
        row = list(found)
        for place, convert in self.columns:
            row[place] = convert(row[place])
        return row


class CompiledStatement:
    """One statement. Its parameters are given by name, each of them, and a list of values can't be one.


    :raises sqlalchemy.exc.DBAPIError: from whatever runs it, as ``session.execute`` would
    """

    def __init__(self, statement: Any, *, at_once: bool = False) -> None:
        """Keep ``statement`` until a database asks for it.

        :param at_once: a transaction of its own, as ``app.db.engine`` explains
        """
        self._statement = statement
        self._columns: list[str] = []
        self._context = Context({"at_once": True} if at_once else {})
        self._ready: dict[str, _Ready] = {}

    @classmethod
    def into(cls, table: Any, *, at_once: bool = False) -> CompiledStatement:
        """Return the INSERT of a row of ``table``: each column by its key, NULL where no value is given."""
        insert = cls(sa.insert(table).inline(), at_once=at_once)
        insert._columns = [column.key for column in table.columns if not _numbered(column)]
        return insert

    def all(self, **values: Any) -> list[Sequence[Any]]:
        """Return the rows that it finds, or returns of what it changed."""
        ready, rows, _ = self._run(values, fetch=True)
        return [ready.row(row) for row in rows] if ready.columns else rows

    def first(self, **values: Any) -> Sequence[Any] | None:
        """Return the first of its rows, or None. The statement itself limits how many there are."""
        rows = self.all(**values)
        return rows[0] if rows else None

    def run(self, **values: Any) -> int:
        """Return how many rows it changed."""
        return int(self._run(values)[2])

    def run_many(self, rows: Iterable[dict[str, Any]]) -> None:
        """Run it once for each of ``rows``, as one statement."""
        self._run(rows=list(rows))

    def _run(
        self,
        values: dict[str, Any] | None = None,
        rows: list[dict[str, Any]] | None = None,
        *,
        fetch: bool = False,
    ) -> tuple[_Ready, list[Sequence[Any]], int]:
        """Run it; return how it was run, the rows it found if they are to be fetched, and how many it changed.

        Rows are fetched before the listeners hear of the end: SQLite writes what a statement with RETURNING has
        changed when its last row is read, so a full disk shows there, and the turn to write lasts until then.
        """
        session = db.session()
        connection = session.info.get(CONNECTION) or session.connection()
        ready = self._ready.get(connection.dialect.name) or self._make_ready(connection.dialect)
        raw: Any = connection.connection.dbapi_connection
        many = rows is not None
        arguments: Any = [ready.arguments(row) for row in rows] if rows is not None else ready.arguments(values or {})
        cursor = raw.cursor()
        told = (connection, cursor, ready.text, arguments, self._context, many)
        listening = connection.engine.dispatch  # a connection's own would be put together for this one request
        try:
            for listener in listening.before_cursor_execute:
                listener(*told)
            if many:
                cursor.executemany(ready.text, arguments)
            else:
                cursor.execute(ready.text, arguments)
            found: list[Sequence[Any]] = cursor.fetchall() if fetch else []
            for listener in listening.after_cursor_execute:
                listener(*told)
        except connection.dialect.loaded_dbapi.Error as error:
            connection._handle_dbapi_exception(error, ready.text, None, cursor, None)
        return ready, found, cursor.rowcount

    def _make_ready(self, dialect: sa.Dialect) -> _Ready:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns or None)
        fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        fixed |= dict.fromkeys(self._columns)
        wanted = compiled.positiontup if compiled.positional else list(compiled.binds)
        names = tuple(
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in wanted
        )
        columns = [column.type.dialect_impl(dialect) for column in _returned(self._statement)]
        converters = [(place, kind.result_processor(dialect, None)) for place, kind in enumerate(columns)]
        ready = _Ready(
            str(compiled),
            names,
            not compiled.positional,
            fixed,
            tuple((place, convert) for place, convert in converters if convert is not None),
        )
        self._ready[dialect.name] = ready
        return ready


def _numbered(column: Any) -> bool:
    """Whether the database gives this column its value."""
    return column.primary_key and isinstance(column.type, sa.Integer) and not column.foreign_keys


def _returned(statement: Any) -> Iterable[Any]:
    if isinstance(statement, sa.Select):
        return statement.selected_columns
    return getattr(statement, "exported_columns", ())
