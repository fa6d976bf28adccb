"""User, Identity, AddressChange and Administrator."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import clock
from app.crypto import secrets
from app.db import BrowserName, partial_index
from app.extensions import db


class User(db.Model):
    """An account. Has no credentials or addresses itself: enrollments and identities reference it."""

    __tablename__ = "user"
    __table_args__ = (
        sa.Index(
            "ix_user_unconfirmed",
            "created_at",
            sqlite_where=sa.text("confirmed_at IS NULL"),
            postgresql_where=sa.text("confirmed_at IS NULL"),
        ),
        partial_index("ix_user_disabled", "disabled_at IS NOT NULL", "id"),
        partial_index("ix_user_deleting", "deletes_at IS NOT NULL", "id"),
        {"sqlite_autoincrement": True},
    )
    """IDs are never reused, not even that of the newest account after it is erased (ADR 23)."""

    id: Mapped[int] = mapped_column(primary_key=True)
    handle: Mapped[str] = mapped_column(sa.String(32), unique=True, default=secrets.row_id)
    """Opaque external ID. Never reused, and reveals nothing."""
    name: Mapped[str | None] = mapped_column(sa.String(64))
    """Display name, as normalized by ``names.read``. Not used to look up accounts."""
    language: Mapped[str] = mapped_column(sa.String(16), default="en")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None]
    """When the account was first confirmed. It can't have a session before that."""
    disabled_at: Mapped[datetime | None]
    deletes_at: Mapped[datetime | None]
    """When the account will be erased, if that was requested; it is closed until then."""

    @property
    def is_active(self) -> bool:
        """Whether this account may sign in (name required by Flask-Login)."""
        return self.disabled_at is None and self.deletes_at is None

    is_authenticated = True
    is_anonymous = False

    def get_id(self) -> str:
        """Return the handle (name required by Flask-Login)."""
        return self.handle


class Identity(db.Model):
    """An email address, phone number or username that resolves to a User.

    ``value`` is the canonical form, and the only one stored; messages are sent to it. An account may have several
    email addresses, one of which is primary.
    """

    __tablename__ = "identity"
    __table_args__ = (
        sa.UniqueConstraint("kind", "value"),
        sa.Index(
            "ix_identity_primary",
            "user_id",
            "kind",
            unique=True,
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        ),
        sa.Index("ix_identity_prefix", "kind", "value"),  # on PostgreSQL with COLLATE "C" (migration 0037)
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    value: Mapped[str] = mapped_column(sa.String(254))
    is_primary: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    """Whether it is the account's primary identity of its kind. The database enforces that there is at most one."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise_on_sql")


class AddressChange(db.Model):
    """A change to an account's email addresses: one was added or removed, or another became primary.

    Kept only while it can be undone, because it contains addresses that no longer belong to the account.
    """

    __tablename__ = "address_change"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    old: Mapped[str] = mapped_column(sa.String(254))
    """The removed address, or ""."""
    new: Mapped[str] = mapped_column(sa.String(254))
    """The added address, or ""."""
    primary_before: Mapped[str] = mapped_column(sa.String(254))
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id")
    """The session that made the change."""
    agent: Mapped[str] = mapped_column(BrowserName)
    address: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    undone_at: Mapped[datetime | None]


class Administrator(db.Model):
    """An account that may use the console."""

    __tablename__ = "administrator"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    since: Mapped[datetime] = mapped_column(default=clock.now)
    granted_by: Mapped[str] = mapped_column(sa.String(64))
    """``operator`` on the command line, ``link`` for the first one, or ``admin:`` and the granting account's handle."""
