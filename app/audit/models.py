"""Event: something that happened, named in the past tense."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import BrowserName, partial_index
from app.extensions import db

UNOWNED = "user_id IS NULL OR name = 'account.created'"
"""Events that are found by their challenge, among them the one that says whose the challenge became. The others of that
challenge are found by their user: a sign-in writes three, and an index of all would be the largest there is."""

SUPPORTED = "support_id <> ''"
"""Events of requests. Those of the worker have no support id."""

BACKED_UP = "name = 'backup.created'"
"""Backups that were made."""

IS_UNOWNED: sa.ColumnElement[bool] = sa.literal_column(f"({UNOWNED})")
HAS_SUPPORT_ID: sa.ColumnElement[bool] = sa.literal_column(f"({SUPPORTED})")
IS_BACKUP: sa.ColumnElement[bool] = sa.literal_column(f"({BACKED_UP})")
"""The same for statements, which say it in literals so that the index is used."""


class Event(db.Model):
    """One thing that happened. Rows are only ever added, and pruned by age."""

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
    """No foreign key: nobody has nothing to check (ADR 15). Emptied when the user is deleted."""
    challenge_id: Mapped[str | None] = mapped_column(sa.String(32))
    """The challenge it is about; with the support id it joins the requests of one attempt. Outlives its row."""
    support_id: Mapped[str] = mapped_column(sa.String(16))
    request_id: Mapped[str] = mapped_column(sa.String(64).with_variant(sa.String(32), "sqlite"))
    """As long as a proxy's may be. SQLite looks at no length, and would have to copy all events to change this one."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    facts: Mapped[dict[str, Any]]
