"""Event: an entry of the audit log, named in the past tense."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import BrowserName, partial_index
from app.extensions import db

UNOWNED = "user_id IS NULL OR name = 'account.created'"
"""Events that are looked up by challenge, including the one that tells which account it created. Other events of a
challenge are looked up by user: a sign-in writes three, and an index on all of them would be the largest there is."""

SUPPORTED = "support_id <> ''"
"""Events from requests. Those from workers have no support id."""

BACKED_UP = "name = 'backup.created'"
"""Backups created."""

IS_UNOWNED: sa.ColumnElement[bool] = sa.literal_column(f"({UNOWNED})")
HAS_SUPPORT_ID: sa.ColumnElement[bool] = sa.literal_column(f"({SUPPORTED})")
IS_BACKUP: sa.ColumnElement[bool] = sa.literal_column(f"({BACKED_UP})")
"""The same conditions for statements, as literals so that the partial index is used."""


class Event(db.Model):
    """An audit event. Rows are only added, and pruned by age."""

    __tablename__ = "event"
    __table_args__ = (
        sa.Index("ix_event_user_id_at", "user_id", "at"),
        partial_index("ix_event_challenge", UNOWNED, "challenge_id"),
        partial_index("ix_event_support", SUPPORTED, "support_id"),
        partial_index("ix_event_backup", BACKED_UP, "at"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(sa.String(48))
    user_id: Mapped[int | None] = mapped_column()
    """Not a foreign key, whose check would only run for known accounts (ADR 15). NULL once the user is deleted."""
    challenge_id: Mapped[str | None] = mapped_column(sa.String(32))
    """The challenge it is about, which may be deleted first. With the support id, it links an attempt's requests."""
    support_id: Mapped[str] = mapped_column(sa.String(16))
    request_id: Mapped[str] = mapped_column(sa.String(64).with_variant(sa.String(32), "sqlite"))
    """Long enough for a proxy's id. SQLite ignores lengths, and would have to copy the table to change this one."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    facts: Mapped[dict[str, Any]]
