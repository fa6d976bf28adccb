"""Tables as they are in a database, and their rows in a form that no database owns.

A row is a list of JSON values in the order of its table's columns: numbers, texts, true and false, null. Times are
``2026-11-29T14:40:26.123456Z``, bytes are hexadecimal, and what a JSON column holds stays the text it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from app.backup.faults import BackupError
from app.db import readiness
from app.extensions import db

TIMES: Final = 26
"""Characters of a time as SQLite has it, with microseconds."""

WRAP: Final = 2**256


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its name and the names and kinds of its columns.

    :ivar columns: pairs; a kind is ``number``, ``text``, ``boolean``, ``time``, ``bytes`` or ``json``
    :ivar numbered: the column that the database counts up, "" when there is none
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    numbered: str = ""

    @property
    def names(self) -> str:
        """The columns, as a statement lists them."""
        return ", ".join(f'"{name}"' for name, _ in self.columns)

    def places(self, kind: str) -> list[int]:
        """Return where the columns of a kind are."""
        return [place for place, column in enumerate(self.columns) if column[1] == kind]


_KINDS: tuple[tuple[type[Any], str], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "number"),
    (sa.DateTime, "time"),
    (sa.LargeBinary, "bytes"),
    (sa.JSON, "json"),
    (sa.String, "text"),
)


def found_tables(connection: sa.Connection) -> list[Table]:
    """Return our tables as they are at ``connection``, each after those that it refers to.

    :raises BackupError: when one of them has a column of a type that we don't know
    """
    inspector, dialect = sa.inspect(connection), connection.dialect.name
    here = set(inspector.get_table_names())
    ours = [table for table in db.metadata.sorted_tables if table.name in here]
    return [_table(table, inspector.get_columns(table.name), dialect) for table in ours]


def _table(model: sa.Table, columns: Sequence[Any], dialect: str) -> Table:
    kinds = tuple((str(column["name"]), _kind(model.name, column["name"], column["type"])) for column in columns)
    counted = model.autoincrement_column
    remembers = dialect != "sqlite" or model.dialect_kwargs.get("sqlite_autoincrement")
    return Table(str(model.name), kinds, str(counted.name) if counted is not None and remembers else "")


def _kind(table: str, column: str, type_: Any) -> str:
    for known, kind in _KINDS:
        if isinstance(type_, known):
            return kind
    raise BackupError(f"Column {column} of table {table} has a type we don't know: {type_}.")


def require_this_release(connection: sa.Connection) -> str:
    """Return the revision that the tables at ``connection`` are at: that of this release.

    :raises BackupError: when they are of another
    """
    found = readiness.fit(connection)
    if found.fault:
        raise BackupError(f"{found.fault[0].upper()}{found.fault[1:]} {found.remedy}")
    if found.newer:
        raise BackupError(
            f"The tables are those of a newer release (revision {found.newer}, ours {found.head}). Do it with that one."
        )
    return found.head


# --- rows ---------------------------------------------------------------------------------------


class Digest:
    """Count and digest of rows: the sum of their SHA-256 values, so that their order makes no difference."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Count rows, each as its line."""
        for line in lines:
            self._sum += int.from_bytes(hashlib.sha256(line).digest())
            self.rows += 1

    @property
    def value(self) -> dict[str, Any]:
        """``rows`` and ``digest``, as a manifest has them."""
        return {"rows": self.rows, "digest": f"{self._sum % WRAP:064x}"}


def line_of(row: Sequence[Any]) -> bytes:
    """Return a row as its line of JSON, the same for the same row wherever it is."""
    return orjson.dumps(row)


Converter = Callable[[Any], Any]


def converted(rows: Sequence[Sequence[Any]], places: Sequence[tuple[int, Converter]]) -> list[list[Any]]:
    """Return ``rows`` with the values at these places converted, unless they are None."""
    lists = [list(row) for row in rows]
    for place, convert in places:
        for row in lists:
            if (value := row[place]) is not None:
                row[place] = convert(value)
    return lists


def time_of_sqlite(text: str) -> str:
    """Return a time of SQLite in our form."""
    if len(text) == TIMES:
        return f"{text[:10]}T{text[11:]}Z"
    found = datetime.fromisoformat(text)
    utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_for_sqlite(text: str) -> str:
    """Return a time of our form as SQLite has it."""
    return f"{text[:10]} {text[11:-1]}"
