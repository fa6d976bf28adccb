"""Temporary storage for rows until all files have been read, since an account's rows can be anywhere in them.

Uses a temporary SQLite database with the name "". No one else can open its file, and it is deleted when the process
ends. Until then it contains secrets, as the export does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from app.cli.imports.product import Fault, Part, Place, Product, Row, Values
from app.users import TypedIdentity

SOME = 500
"""Accounts joined per batch."""


class Spool:
    """Rows waiting to be joined, and the identities seen so far."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT, also TEXT, file TEXT, number INTEGER,
                unit TEXT, content TEXT);
            CREATE TABLE part (owner TEXT, name TEXT, content TEXT);
            CREATE TABLE seen (kind TEXT, value TEXT, place TEXT, PRIMARY KEY (kind, value)) WITHOUT ROWID;
            BEGIN;
            """
        )
        self.orphans = 0
        """Rows that don't belong to any account."""

    def close(self) -> None:
        """Delete everything."""
        self._db.close()

    def joined(self, rows: Iterable[Row | Fault], product: Product) -> Iterator[Row | Fault]:
        """Yield faults as they are read, then each account with its parts once everything has been read."""
        for row in rows:
            if isinstance(row, Fault):
                yield row
            elif (part := product.part(row)) is not None:
                self._store(row, part)
            elif not row.table and not product.knows(row.values):
                yield row  # rejected later: nothing says it is from another table
        self._db.execute("CREATE INDEX of_part ON part (owner)")
        self._db.execute("CREATE TEMP TABLE owners AS SELECT owner FROM account UNION SELECT also FROM account")
        lone = "SELECT count(*) FROM part WHERE owner NOT IN (SELECT owner FROM owners)"
        (self.orphans,) = self._db.execute(lone).fetchone()
        yield from self._accounts()

    def _store(self, row: Row, part: Part) -> None:
        place, content = row.place, written(row.values)
        if part.name:
            self._db.execute("INSERT INTO part VALUES (?, ?, ?)", (part.owner, part.name, content))
            return
        account = (part.owner, part.also, place.file, place.number, place.unit, content)
        insert = "INSERT INTO account (owner, also, file, number, unit, content) VALUES (?, ?, ?, ?, ?, ?)"
        self._db.execute(insert, account)

    def _accounts(self) -> Iterator[Row]:
        last = 0
        more = "SELECT id, owner, also, file, number, unit, content FROM account WHERE id > ? ORDER BY id LIMIT ?"
        while found := self._db.execute(more, (last, SOME)).fetchall():
            last = found[-1][0]
            parts = self._parts({name for _, owner, also, *_ in found for name in (owner, also) if name})
            for _, owner, also, file, number, unit, content in found:
                values = json.loads(content)
                for name, rows in [*parts.get(owner, {}).items(), *(parts.get(also, {}).items() if also else ())]:
                    here = values.get(name)
                    values[name] = [*here, *rows] if isinstance(here, list) else rows
                yield Row(Place(file, number, unit), values)

    def _parts(self, owners: set[str]) -> dict[str, dict[str, list[Values]]]:
        found: dict[str, dict[str, list[Values]]] = {}
        marks = ",".join("?" * len(owners))
        for owner, name, content in self._db.execute(f"SELECT * FROM part WHERE owner IN ({marks})", list(owners)):  # noqa: S608
            found.setdefault(owner, {}).setdefault(name, []).append(json.loads(content))
        return found

    def earlier(self, identities: Iterable[TypedIdentity]) -> dict[TypedIdentity, str]:
        """Return the earlier locations of those identities that the files have already contained."""
        seen = {}
        for identity in identities:
            here = (identity.kind, identity.value)
            if found := self._db.execute("SELECT place FROM seen WHERE kind = ? AND value = ?", here).fetchone():
                seen[identity] = found[0]
        return seen

    def record_seen(self, identities: Iterable[tuple[TypedIdentity, str]]) -> None:
        """Record the locations of identities."""
        rows = [(identity.kind, identity.value, place) for identity, place in identities]
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)


def written(values: Any) -> str:
    """Serialize values as JSON, including integers of more than 64 bits."""
    try:
        return orjson.dumps(values, default=str).decode()
    except (TypeError, ValueError):
        return json.dumps(values, default=str)
