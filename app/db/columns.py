"""Column types, the declarative base that every model shares, and the Flask-SQLAlchemy extension."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, registry

from app import user_agents

ZONE = "+00:00"

CONSTRAINT_NAMES = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time on every database; SQLite, which has no zones, gets the naive UTC value.

    Naive values are refused with ValueError: a time without a zone is a guess.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return what turns a time into what the driver takes; for SQLite into text at once, in one step of C."""
        return _sqlite_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Return what turns what the driver gives into a time: text of SQLite, in one step; nothing elsewhere."""
        return _time_of_sqlite if dialect.name == "sqlite" else None

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given where an aware UTC time is kept")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value


class BrowserName(sa.types.TypeDecorator[str]):
    """A browser by its name from the closed list of ``user_agents``; "" where no browser asked.

    What came before there was a list is the User-Agent header as it was sent. It is read through the list as well.
    """

    impl = sa.String(256)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return user_agents.label(value) if value else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return user_agents.label(value) if value else value


def _sqlite_text(value: datetime | None) -> str | None:
    """Write ``value`` as SQLAlchemy's own DATETIME does on SQLite. Raises ValueError for a naive one."""
    if value is None:
        return None
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given where an aware UTC time is kept")
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds").removesuffix(ZONE)


def _time_of_sqlite(text: str | None) -> datetime | None:
    """Read a time as it stands in SQLite; with its zone where a statement once gave it as no time of ours.

    Naming the zone before a time is read costs a fifth of giving it one afterwards.
    """
    return None if text is None else datetime.fromisoformat(text if text.endswith(ZONE) else text + ZONE)


class Base(DeclarativeBase):
    """The declarative base: constraint names that migrations can rely on, and our column types."""

    registry = registry(
        metadata=sa.MetaData(naming_convention=CONSTRAINT_NAMES),
        type_annotation_map={datetime: UtcDateTime, dict[str, Any]: sa.JSON},
    )


def partial_index(name: str, where: str, *columns: str) -> sa.Index:
    """Return an index of the rows of which ``where`` (SQL) is true. Statements must say the same in literals."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


db = SQLAlchemy(model_class=Base, session_options={"autoflush": False, "expire_on_commit": False})
