"""Personal data exports: each package says which columns of its tables belong in one.

A list of what is included, never of what is held back: a forgotten column is not exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.orm import scoped_session

BATCH = 500
"""Rows read at a time: so many are in memory, however many there are."""


@dataclass(frozen=True, slots=True)
class ExportPart:
    """One file of an export.

    :ivar name: of the file, without its ending
    :ivar says: a sentence that describes its content
    :ivar owner: the column that says whose a row is
    :ivar columns: what is given, by the name it is given under
    :ivar newest_by: columns that are never NULL, by which rows come newest first; together they are unique
    :ivar where: which of the owner's rows are meant
    """

    name: str
    says: str
    owner: Any
    columns: Mapping[str, Any]
    newest_by: Sequence[Any]
    where: Sequence[sa.ColumnElement[bool]] = ()

    @property
    def table(self) -> str:
        """The name of the table it is read from."""
        return str(self.owner.expression.table.name)


_REGISTERED = "latchkey.export"


@dataclass(slots=True)
class Registered:
    """What each package gives, and which tables give nothing and why."""

    parts: list[ExportPart] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)


def register_export(app: Flask, parts: Sequence[ExportPart], excluded: Mapping[str, str] | None = None) -> None:
    """Add files to every export, in this order; ``excluded`` are tables with rows of a user that give nothing.

    No column may be a secret, a digest, an encrypted text, or an id that opens anything.
    """
    registered: Registered = app.extensions.setdefault(_REGISTERED, Registered())
    registered.parts.extend(parts)
    registered.excluded |= excluded or {}


def registered_export() -> Registered:
    """Return what is registered with the app that runs."""
    registered: Registered = current_app.extensions[_REGISTERED]
    return registered


def read(session: scoped_session[Any], part: ExportPart, user_id: int) -> Iterator[list[dict[str, Any]]]:
    """Yield what ``part`` gives this user, newest first, in batches; each is one statement on its own."""
    mine = (part.owner == user_id, *part.where)
    keys = [key.label(f"key_{number}") for number, key in enumerate(part.newest_by)]
    given = [column.label(name) for name, column in part.columns.items()]
    newest = sa.select(*keys, *given).where(*mine).order_by(*(key.desc() for key in part.newest_by)).limit(BATCH)
    page = newest
    while rows := session.execute(page).all():
        yield [dict(zip(part.columns, row[len(keys) :], strict=True)) for row in rows]
        if len(rows) < BATCH:
            return
        page = newest.where(_before(part.newest_by, rows[-1]))


def _before(keys: Sequence[Any], place: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Return what holds for the rows that come after the one at ``place``."""
    first, *others = keys
    if not others:
        return cast("sa.ColumnElement[bool]", first < place[0])
    return sa.and_(first <= place[0], sa.or_(first < place[0], _before(others, place[1:])))
