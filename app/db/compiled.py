"""Statements that are compiled once and passed straight to the driver, and rows read without the ORM's unit of work.

Looking up a cached statement and building its result takes SQLAlchemy several times as long as the database takes for
an indexed row. Here each statement is compiled once per kind of database, along with the converters for its parameters
and columns. It runs on the session's connection and notifies the engine's listeners, so transactions, deadlines and
statement counts work as for any other statement. The lookup of a session, often the only statement of its request, runs
without opening an ORM session.

Detached rows are model objects that are only changed by statements. Those use tables and columns rather than mapped
attributes, which would double the cost. Detached rows belong to no session: setting an attribute raises AttributeError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session, SessionTransaction

from app.db.columns import db

Converter = Callable[[Any], Any]
CONNECTION = "latchkey.connection"
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")
PREPARED = "latchkey.prepared"
"""Key in the ``info`` of a PostgreSQL connection for its PreparedCursor. Not set behind a connection pooler."""


@sa.event.listens_for(db.session, "after_begin")
def _keep_connection(session: Session, transaction: SessionTransaction, connection: sa.Connection) -> None:
    """Cache the session's connection: looking it up takes longer than the rest of a session's work for a statement."""
    session.info[CONNECTION] = connection


@sa.event.listens_for(db.session, "after_transaction_create")
@sa.event.listens_for(db.session, "after_transaction_end")
def _clear_connection(session: Session, transaction: SessionTransaction) -> None:
    """Clear the cache: sessions create savepoints when asked for their connection, and lose it with the transaction."""
    session.info.pop(CONNECTION, None)


def session_connection() -> sa.Connection:
    """Return the current session's connection, like ``db.session.connection()`` but faster."""
    session = db.session()
    connection: sa.Connection | None = session.info.get(CONNECTION)
    return connection or session.connection()


@dataclass(slots=True)
class Context:
    """The part of a statement's execution context that the engine's listeners use."""

    execution_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _CompiledForm:
    """A statement compiled for one kind of cursor.

    :ivar names: parameters in order, each with its converter
    :ivar by_name: whether the driver takes parameters by name rather than by position
    :ivar fixed: parameter values that are part of the statement itself
    :ivar columns: index and converter of each result column that needs conversion
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
    """One statement. All parameters are passed by name; expanding lists are not supported.

    :raises sqlalchemy.exc.DBAPIError: from any method that runs it, as ``session.execute`` would
    """

    def __init__(self, statement: Any, *, autocommit: bool = False) -> None:
        """Store ``statement``; it is compiled on first use.

        :param autocommit: run it in its own transaction, as ``app.db.engine`` explains
        """
        self._statement = statement
        self._columns: list[str] = []
        self._context = Context({"autocommit": True} if autocommit else {})
        self._forms: dict[type, _CompiledForm] = {}

    @classmethod
    def into(cls, table: Any, *, autocommit: bool = False, **expressions: Any) -> CompiledStatement:
        """Return the INSERT of a row into ``table``. Columns are passed by key; those not passed are NULL.

        :param expressions: SQL expressions by column; their parameters are passed by name, too
        """
        insert = cls(sa.insert(table).inline().values(expressions), autocommit=autocommit)
        columns = [column.key for column in table.columns if not _is_autoincrement(column)]
        insert._columns = [key for key in columns if key not in expressions]
        return insert

    def all(self, **values: Any) -> list[Sequence[Any]]:
        """Return the selected rows, or those of a RETURNING clause."""
        return self._rows(session_connection(), values)

    def first(self, **values: Any) -> Sequence[Any] | None:
        """Return the first row, or None. All rows are fetched, so the statement should limit them."""
        rows = self.all(**values)
        return rows[0] if rows else None

    def first_without_session(self, **values: Any) -> Sequence[Any] | None:
        """Like ``first``, but if no session is open, don't open one: use a connection for this statement only.

        For a read that is often the only statement of its request, where a session would cost more than the statement.
        """
        if db.session.registry.has():
            return self.first(**values)
        with db.engine.connect() as connection:
            rows = self._rows(connection, values)
        return rows[0] if rows else None

    def run(self, **values: Any) -> int:
        """Run it and return the number of rows changed."""
        return int(self._run(session_connection(), values)[2])

    def _rows(self, connection: sa.Connection, values: dict[str, Any]) -> list[Sequence[Any]]:
        compiled_form, rows, _ = self._run(connection, values, fetch=True)
        return [compiled_form.row(row) for row in rows] if compiled_form.columns else rows

    def _run(
        self, connection: sa.Connection, values: dict[str, Any], *, fetch: bool = False
    ) -> tuple[_CompiledForm, list[Sequence[Any]], int]:
        """Run it; return its compiled form, the rows if they are to be fetched, and the number of rows changed.

        Rows are fetched before the listeners are told that the statement ended: SQLite completes a statement with
        RETURNING when its last row is read, so a full disk only shows then, and the write lock is needed until then.
        """
        raw: Any = connection.connection.dbapi_connection
        cursor = connection.info.get(PREPARED) or raw.cursor()
        compiled_form = self._forms.get(type(cursor)) or self._compile(connection.dialect, type(cursor))
        arguments = compiled_form.arguments(values)
        event_arguments = (connection, cursor, compiled_form.text, arguments, self._context, False)
        dispatch = connection.engine.dispatch  # a connection's own dispatch would be built for each request
        try:
            for listener in dispatch.before_cursor_execute:
                listener(*event_arguments)
            cursor.execute(compiled_form.text, arguments)
            found: list[Sequence[Any]] = cursor.fetchall() if fetch else []
            for listener in dispatch.after_cursor_execute:
                listener(*event_arguments)
        except connection.dialect.loaded_dbapi.Error as error:
            connection._handle_dbapi_exception(error, compiled_form.text, None, cursor, None)
        return compiled_form, found, cursor.rowcount

    def _compile(self, dialect: sa.Dialect, cursor: type) -> _CompiledForm:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns or None)
        fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        fixed |= dict.fromkeys(self._columns)
        text, by_name = str(compiled), not compiled.positional
        wanted = list(compiled.binds) if by_name else compiled.positiontup
        if getattr(cursor, "is_numbered", False):
            (text, wanted), by_name = _numbered_text(text), False
        names = tuple(
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in wanted
        )
        columns = [column.type.dialect_impl(dialect) for column in _returned(self._statement)]
        converters = [(place, kind.result_processor(dialect, None)) for place, kind in enumerate(columns)]
        compiled_form = _CompiledForm(
            text,
            names,
            by_name,
            fixed,
            tuple((place, convert) for place, convert in converters if convert is not None),
        )
        self._forms[cursor] = compiled_form
        return compiled_form


def _numbered_text(text: str) -> tuple[str, list[str]]:
    """Replace ``%(name)s`` with ``$1`` and so on; return the text and the names in the order of their numbers."""
    places: dict[str, str] = {}

    def place(found: re.Match[str]) -> str:
        name = found[1]
        return "%" if name is None else places.setdefault(name, f"${len(places) + 1}")

    return _PLACEHOLDER.sub(place, text), list(places)


def _is_autoincrement(column: Any) -> bool:
    """Return whether this is an autoincrement column."""
    return column.primary_key and isinstance(column.type, sa.Integer) and not column.foreign_keys


def _returned(statement: Any) -> Iterable[Any]:
    if isinstance(statement, sa.Select):
        return statement.selected_columns
    return getattr(statement, "exported_columns", ())


M = TypeVar("M")


class Detached:
    """Reads the columns of one or several models from a row, and turns them into detached objects."""

    def __init__(self, *models: Any) -> None:
        self._models = models
        self._names = [[column.key for column in model.__table__.columns] for model in models]
        self.tables = [model.__table__ for model in models]

    def select(self) -> sa.Select[Any]:
        """Return a SELECT of these models' columns, in order, to be extended by the caller."""
        return sa.select(*self.tables)

    def read(self, row: Sequence[Any]) -> list[Any]:
        """Return an object per model, in order; None where an outer join had no match. Ignores any further columns."""
        objects, begin = [], 0
        for model, names in zip(self._models, self._names, strict=True):
            values = row[begin : begin + len(names)]
            begin += len(names)
            objects.append(None if values[0] is None else _whole(model, names, values))
        return objects


def _whole(model: Any, names: list[str], values: Sequence[Any]) -> Any:
    instance = object.__new__(model)
    instance.__dict__.update(zip(names, values, strict=True))
    return instance


def detached_from(model: type[M], values: dict[str, Any]) -> M:
    """Return an object of ``model`` with these column values; columns that are not given are None.

    It has no ORM state, and creating it costs a tenth of calling the constructor.
    """
    instance = object.__new__(model)
    instance.__dict__.update(_null_columns(cast("Hashable", model)))
    instance.__dict__.update(values)
    return instance


@lru_cache(maxsize=64)
def _null_columns(model: Any) -> dict[str, None]:
    return dict.fromkeys(column.key for column in model.__table__.columns)


def update_detached(instance: Any, **values: Any) -> None:
    """Update a detached ``instance`` with the values that a statement has just written to its row."""
    instance.__dict__.update(values)
