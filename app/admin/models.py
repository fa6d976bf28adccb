"""AdminVisit: that a session is in the console. AdminLink: what makes the first administrator. StatHour: counts."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db


class AdminVisit(db.Model):
    """That a session has shown who is there, and may see the console until it has been idle or there for too long."""

    __tablename__ = "admin_visit"

    session_id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    opened_at: Mapped[datetime] = mapped_column(index=True)
    seen_at: Mapped[datetime]


class AdminLink(db.Model):
    """A one-time link that makes the person who opens it an administrator, with the digest of its token."""

    __tablename__ = "admin_link"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class StatHour(db.Model):
    """How often something happened in an hour. Nothing says to whom."""

    __tablename__ = "stat_hour"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    count: Mapped[int]
    is_final: Mapped[bool]
    """Whether nothing is written in that hour any more."""
