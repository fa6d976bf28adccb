"""Column types, the declarative base of all models, and the Flask-SQLAlchemy extension."""

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
    """An aware UTC datetime on every database. SQLite has no time zones and stores the naive UTC value.

    Naive values raise ValueError, since their time zone would be a guess.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return the converter from datetime to driver value. For SQLite it produces text directly, in one C call."""
        return _sqlite_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Return the converter from driver value to datetime: it parses SQLite's text. None for other databases."""
        return _time_of_sqlite if dialect.name == "sqlite" else None

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given where an aware UTC time is kept")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value


class BrowserName(sa.types.TypeDecorator[str]):
    """A browser's name from the fixed list in ``user_agents``; "" for requests without a browser.

    Rows from before that list existed contain the User-Agent header as sent. It is mapped to the list on reading.
    """

    impl = sa.String(256)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return user_agents.label(value) if value else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return user_agents.label(value) if value else value


def _sqlite_text(value: datetime | None) -> str | None:
    """Format ``value`` like SQLAlchemy's own DATETIME on SQLite. Raises ValueError for naive values."""
    if value is None:
        return None
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given where an aware UTC time is kept")
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds").removesuffix(ZONE)


def _time_of_sqlite(text: str | None) -> datetime | None:
    """Parse a time stored in SQLite. Times written by a statement that bypassed ``UtcDateTime`` include the offset.

    Appending the offset before parsing costs a fifth of setting the time zone afterwards.
    """
    return None if text is None else datetime.fromisoformat(text if text.endswith(ZONE) else text + ZONE)


class Base(DeclarativeBase):
    """The declarative base, with predictable constraint names for migrations and our column types."""

    registry = registry(
        metadata=sa.MetaData(naming_convention=CONSTRAINT_NAMES),
        type_annotation_map={datetime: UtcDateTime, dict[str, Any]: sa.JSON},
    )


def partial_index(name: str, where: str, *columns: str) -> sa.Index:
    """Return an index of rows that satisfy the SQL ``where``. Queries must repeat that condition with literals."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


db = SQLAlchemy(model_class=Base, session_options={"autoflush": False, "expire_on_commit": False})
