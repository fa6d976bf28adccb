"""Group and GroupMembership."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.extensions import db

MAX_NAME_LENGTH = 63
MAX_TITLE_LENGTH = 120

Name = sa.String(MAX_NAME_LENGTH).with_variant(sa.String(MAX_NAME_LENGTH, collation="C"), "postgresql")
"""Sorted by bytes on both databases."""


class Group(db.Model):
    """Accounts that an operator has grouped under a name, to decide who may use which app."""

    __tablename__ = "group"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    name: Mapped[str] = mapped_column(Name, unique=True)
    """Never changes, since apps have rules about it (``service.is_name``)."""
    title: Mapped[str] = mapped_column(sa.String(MAX_TITLE_LENGTH))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class GroupMembership(db.Model):
    """Membership of an account in a group."""

    __tablename__ = "group_membership"

    group_id: Mapped[str] = mapped_column(sa.ForeignKey("group.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
