"""AdminVisit: a session's access to the console. AdminLink: makes the first administrator. StatHour: hourly counts."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db


class AdminVisit(db.Model):
    """A session that may use the console until the idle or absolute timeout, since its owner was verified."""

    __tablename__ = "admin_visit"

    session_id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    opened_at: Mapped[datetime] = mapped_column(index=True)
    seen_at: Mapped[datetime]


class AdminLink(db.Model):
    """A one-time link that makes the person who opens it an administrator. Stores only the token's digest."""

    __tablename__ = "admin_link"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class StatHour(db.Model):
    """How often something happened in an hour, with no reference to any account."""

    __tablename__ = "stat_hour"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    count: Mapped[int]
    is_final: Mapped[bool]
    """No more events can be recorded in that hour."""
