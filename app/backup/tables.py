"""Tables of a database, and the portable format of their rows.

A row is a list of JSON values in the order of its table's columns: numbers, strings, booleans, null. Times are
formatted as ``2026-11-29T14:40:26.123456Z``, bytes as hexadecimal, and the content of JSON columns stays unparsed text.
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
"""Length of a time as SQLite stores it, with microseconds."""

WRAP: Final = 2**256


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name and its columns' names and kinds.

    :ivar columns: pairs of name and kind: ``number``, ``text``, ``boolean``, ``time``, ``bytes`` or ``json``
    :ivar numbered: the autoincrement column, "" when there is none
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    numbered: str = ""

    @property
    def names(self) -> str:
        """The quoted column names for use in a statement."""
        return ", ".join(f'"{name}"' for name, _ in self.columns)

    def places(self, kind: str) -> list[int]:
        """Return the indexes of the columns of a kind."""
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
    """Return the tables of ours that exist at ``connection``, each after the tables it references.

    :raises BackupError: when a column has an unknown type
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
    """Return the revision of the tables at ``connection``, which must be this release's.

    :raises BackupError: when it is another
    """
    found = readiness.schema_state(connection)
    if found.fault:
        raise BackupError(f"{found.fault[0].upper()}{found.fault[1:]} {found.remedy}")
    if found.newer:
        raise BackupError(
            f"The tables are those of a newer release (revision {found.newer}, ours {found.head}). Do it with that one."
        )
    return found.head


# --- rows ---------------------------------------------------------------------------------------


class Digest:
    """Row count and order-independent digest: the sum of the rows' SHA-256 values."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Add rows, each as its JSON line."""
        for line in lines:
            self._sum += int.from_bytes(hashlib.sha256(line).digest())
            self.rows += 1

    @property
    def value(self) -> dict[str, Any]:
        """``rows`` and ``digest``, as stored in a manifest."""
        return {"rows": self.rows, "digest": f"{self._sum % WRAP:064x}"}


def line_of(row: Sequence[Any]) -> bytes:
    """Serialize a row as a line of JSON. Equal rows give equal lines on either database."""
    return orjson.dumps(row)


Converter = Callable[[Any], Any]


def converted(rows: Sequence[Sequence[Any]], places: Sequence[tuple[int, Converter]]) -> list[list[Any]]:
    """Return ``rows`` with the values at these indexes converted, unless they are None."""
    lists = [list(row) for row in rows]
    for place, convert in places:
        for row in lists:
            if (value := row[place]) is not None:
                row[place] = convert(value)
    return lists


def time_of_sqlite(text: str) -> str:
    """Convert a time from SQLite's format to the portable one."""
    if len(text) == TIMES:
        return f"{text[:10]}T{text[11:]}Z"
    found = datetime.fromisoformat(text)
    utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_for_sqlite(text: str) -> str:
    """Convert a time from the portable format to SQLite's."""
    return f"{text[:10]} {text[11:-1]}"
