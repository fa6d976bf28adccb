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
    """One account. Holds no proof and no address: methods and identities point here."""

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
    """A number that was an account's is never another's, also where the newest account is erased (ADR 23)."""

    id: Mapped[int] = mapped_column(primary_key=True)
    handle: Mapped[str] = mapped_column(sa.String(32), unique=True, default=secrets.row_id)
    """Opaque name for other programs; never reused, says nothing."""
    name: Mapped[str | None] = mapped_column(sa.String(64))
    """What its owner wants to be called, as ``names.read`` has it; it finds nobody."""
    language: Mapped[str] = mapped_column(sa.String(16), default="en")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None]
    """When an address of this account was first proved; before that it opens no session."""
    disabled_at: Mapped[datetime | None]
    deletes_at: Mapped[datetime | None]
    """When it is erased, for one whose owner has asked for that; until then it is closed."""

    @property
    def is_active(self) -> bool:
        """Whether this account may sign in at all (Flask-Login asks by this name)."""
        return self.disabled_at is None and self.deletes_at is None

    is_authenticated = True
    is_anonymous = False

    def get_id(self) -> str:
        """Return the handle (Flask-Login asks by this name)."""
        return self.handle


class Identity(db.Model):
    """An e-mail address, phone number or username that finds one User.

    ``value`` is the canonical form, and the only one kept: mail goes where it says. An account may have several
    addresses, of which one is the primary.
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
    """Whether it is the one of its kind that stands for the account: at most one is, and the database sees to it."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise_on_sql")


class AddressChange(db.Model):
    """Something that was done to the e-mail addresses of an account: one came, one went, or another became primary.

    Kept only while it can be undone: it holds addresses that are no longer the account's.
    """

    __tablename__ = "address_change"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    old: Mapped[str] = mapped_column(sa.String(254))
    """The address that went, or ""."""
    new: Mapped[str] = mapped_column(sa.String(254))
    """The address that came, or ""."""
    primary_before: Mapped[str] = mapped_column(sa.String(254))
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id")
    """The session that did it."""
    agent: Mapped[str] = mapped_column(BrowserName)
    address: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    undone_at: Mapped[datetime | None]


class Administrator(db.Model):
    """That an account may use the console."""

    __tablename__ = "administrator"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    since: Mapped[datetime] = mapped_column(default=clock.now)
    granted_by: Mapped[str] = mapped_column(sa.String(64))
    """``operator`` on the command line, ``link`` for the first one, or ``admin:`` and the handle of who did it."""
