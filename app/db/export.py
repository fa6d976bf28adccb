"""Personal data exports: each package declares which columns of its tables to include.

This is an allowlist, so a forgotten column is not exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.orm import scoped_session

BATCH = 500
"""Rows read at a time, which limits memory use."""


@dataclass(frozen=True, slots=True)
class ExportPart:
    """One file of an export.

    :ivar name: file name without extension
    :ivar says: sentence that describes its content
    :ivar owner: column with the id of the row's user
    :ivar columns: exported columns, by their name in the file
    :ivar newest_by: columns that sort rows newest first; never NULL, and unique in combination
    :ivar where: additional conditions on the user's rows
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
    """Parts registered by the packages, and tables that are excluded, with the reason."""

    parts: list[ExportPart] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)


def register_export(app: Flask, parts: Sequence[ExportPart], excluded: Mapping[str, str] | None = None) -> None:
    """Add files to every export, in this order. ``excluded`` names tables of user data that are left out, and why.

    No column may be a secret, a digest, encrypted, or an id that grants access to anything.
    """
    registered: Registered = app.extensions.setdefault(_REGISTERED, Registered())
    registered.parts.extend(parts)
    registered.excluded |= excluded or {}


def registered_export() -> Registered:
    """Return what is registered with the current app."""
    registered: Registered = current_app.extensions[_REGISTERED]
    return registered


def read(session: scoped_session[Any], part: ExportPart, user_id: int) -> Iterator[list[dict[str, Any]]]:
    """Yield this user's rows for ``part`` in batches, newest first. Each batch is a separate statement."""
    conditions = (part.owner == user_id, *part.where)
    keys = [key.label(f"key_{number}") for number, key in enumerate(part.newest_by)]
    exported = [column.label(name) for name, column in part.columns.items()]
    newest = (
        sa.select(*keys, *exported).where(*conditions).order_by(*(key.desc() for key in part.newest_by)).limit(BATCH)
    )
    page = newest
    while rows := session.execute(page).all():
        yield [dict(zip(part.columns, row[len(keys) :], strict=True)) for row in rows]
        if len(rows) < BATCH:
            return
        page = newest.where(_before(part.newest_by, rows[-1]))


def _before(keys: Sequence[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Return the condition for rows that follow the one with the keys ``values``."""
    first, *others = keys
    if not others:
        return cast("sa.ColumnElement[bool]", first < values[0])
    return sa.and_(first <= values[0], sa.or_(first < values[0], _before(others, values[1:])))
