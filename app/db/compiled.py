"""Statements compiled once and handed to the driver as they are, and rows read without the ORM's unit of work.

Finding a compiled statement again, and making its result, costs SQLAlchemy several times what the database takes for
a row by its index. Here a statement becomes text, with what its values need on the way in and out, once for each kind
of database. It runs on the session's own connection and notifies the engine's listeners, so that transactions,
deadlines and counts are those of every other statement.

Detached rows are model objects that only statements change. Statements for them are written in tables and their
columns, not in mapped attributes, which cost as much again. They belong to no session: setting an attribute raises
AttributeError.
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
"""Of a connection to PostgreSQL, what runs prepared statements on it; a pooler allows none."""


@sa.event.listens_for(db.session, "after_begin")
def _keep_connection(session: Session, transaction: SessionTransaction, connection: sa.Connection) -> None:
    """Finding a session's connection again costs it more than the session needs for the rest of a statement."""
    session.info[CONNECTION] = connection


@sa.event.listens_for(db.session, "after_transaction_create")
@sa.event.listens_for(db.session, "after_transaction_end")
def _forget_connection(session: Session, transaction: SessionTransaction) -> None:
    """A savepoint is set when the session is asked for its connection; and a transaction that ended has none."""
    session.info.pop(CONNECTION, None)


def session_connection() -> sa.Connection:
    """Return the connection of this request's session, as ``db.session.connection()`` does, only sooner."""
    session = db.session()
    connection: sa.Connection | None = session.info.get(CONNECTION)
    return connection or session.connection()


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
    """One statement. All its parameters are given by name; a list of values can't be one.

    :raises sqlalchemy.exc.DBAPIError: from whatever runs it, as ``session.execute`` would
    """

    def __init__(self, statement: Any, *, at_once: bool = False) -> None:
        """Keep ``statement`` until a database asks for it.

        :param at_once: a transaction of its own, as ``app.db.engine`` explains
        """
        self._statement = statement
        self._columns: list[str] = []
        self._context = Context({"at_once": True} if at_once else {})
        self._ready: dict[type, _Ready] = {}

    @classmethod
    def into(cls, table: Any, *, at_once: bool = False, **expressions: Any) -> CompiledStatement:
        """Return the INSERT of a row of ``table``: each column by its key, NULL where no value is given.

        :param expressions: by column, what the database computes; their parameters are given by name, too
        """
        insert = cls(sa.insert(table).inline().values(expressions), at_once=at_once)
        columns = [column.key for column in table.columns if not _numbered(column)]
        insert._columns = [key for key in columns if key not in expressions]
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

    def _run(self, values: dict[str, Any], *, fetch: bool = False) -> tuple[_Ready, list[Sequence[Any]], int]:
        """Run it; return how it was run, the rows it found if they are to be fetched, and how many it changed.

        Rows are fetched before the listeners hear of the end: SQLite writes what a statement with RETURNING has
        changed when its last row is read, so a full disk shows there, and the turn to write lasts until then.
        """
        connection = session_connection()
        raw: Any = connection.connection.dbapi_connection
        cursor = connection.info.get(PREPARED) or raw.cursor()
        ready = self._ready.get(type(cursor)) or self._make_ready(connection.dialect, type(cursor))
        arguments = ready.arguments(values)
        heard = (connection, cursor, ready.text, arguments, self._context, False)
        listening = connection.engine.dispatch  # a connection's own would be put together for this one request
        try:
            for listener in listening.before_cursor_execute:
                listener(*heard)
            cursor.execute(ready.text, arguments)
            found: list[Sequence[Any]] = cursor.fetchall() if fetch else []
            for listener in listening.after_cursor_execute:
                listener(*heard)
        except connection.dialect.loaded_dbapi.Error as error:
            connection._handle_dbapi_exception(error, ready.text, None, cursor, None)
        return ready, found, cursor.rowcount

    def _make_ready(self, dialect: sa.Dialect, cursor: type) -> _Ready:
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
        ready = _Ready(
            text,
            names,
            by_name,
            fixed,
            tuple((place, convert) for place, convert in converters if convert is not None),
        )
        self._ready[cursor] = ready
        return ready


def _numbered_text(text: str) -> tuple[str, list[str]]:
    """Return a text with ``%(name)s`` in it with ``$1`` and on instead, and the names that these stand for."""
    places: dict[str, str] = {}

    def place(found: re.Match[str]) -> str:
        name = found[1]
        return "%" if name is None else places.setdefault(name, f"${len(places) + 1}")

    return _PLACEHOLDER.sub(place, text), list(places)


def _numbered(column: Any) -> bool:
    """Whether the database gives this column its value."""
    return column.primary_key and isinstance(column.type, sa.Integer) and not column.foreign_keys


def _returned(statement: Any) -> Iterable[Any]:
    if isinstance(statement, sa.Select):
        return statement.selected_columns
    return getattr(statement, "exported_columns", ())


M = TypeVar("M")


class Detached:
    """The columns of one or several models in a row, and how to make objects of them again."""

    def __init__(self, *models: Any) -> None:
        self._models = models
        self._names = [[column.key for column in model.__table__.columns] for model in models]
        self.tables = [model.__table__ for model in models]

    def select(self) -> sa.Select[Any]:
        """Return the beginning of a statement that reads these models, in this order."""
        return sa.select(*self.tables)

    def read(self, row: Sequence[Any]) -> list[Any]:
        """Return an object for each model, in order; None where an outer join found nothing. What follows is left."""
        made, begin = [], 0
        for model, names in zip(self._models, self._names, strict=True):
            values = row[begin : begin + len(names)]
            begin += len(names)
            made.append(None if values[0] is None else _whole(model, names, values))
        return made


def _whole(model: Any, names: list[str], values: Sequence[Any]) -> Any:
    instance = object.__new__(model)
    instance.__dict__.update(zip(names, values, strict=True))
    return instance


def detached_from(model: type[M], values: dict[str, Any]) -> M:
    """Return an object of ``model`` with these columns; one that is not given is None.

    It has no state of the ORM, and making it costs a tenth of what the constructor does.
    """
    instance = object.__new__(model)
    instance.__dict__.update(_nothing(cast("Hashable", model)))
    instance.__dict__.update(values)
    return instance


@lru_cache(maxsize=64)
def _nothing(model: Any) -> dict[str, None]:
    return dict.fromkeys(column.key for column in model.__table__.columns)


def note(instance: Any, **values: Any) -> None:
    """Let ``instance`` show what a statement has just written to its row."""
    instance.__dict__.update(values)
