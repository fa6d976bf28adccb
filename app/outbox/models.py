"""Message: an email, a text or a logout token to be sent. Lease: which worker holds a role, and until when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.db import partial_index
from app.extensions import db
from app.users import identifiers

WAITING = "waiting"
SENDING = "sending"
SENT = "sent"
ABANDONED = "abandoned"
DROPPED = "dropped"
STATES = (WAITING, SENDING, SENT, ABANDONED, DROPPED)


class Message(db.Model):
    """What must leave, to whom, and how far it got. Holds no text: that is rendered when it is sent.

    ``next_attempt_at`` alone says when a row is due, and is NULL once it is settled. While a worker
    sends, it is the end of that worker's lease: after a crash the row falls due again by itself.
    """

    __tablename__ = "message"
    __table_args__ = (
        partial_index("ix_message_texts_sent_at", "channel = 'sms'", "sent_at"),
        partial_index(
            "ix_message_new", "attempts = 0 AND next_attempt_at IS NOT NULL", "destination", "next_attempt_at"
        ),
        partial_index(
            "ix_message_again", "attempts > 0 AND next_attempt_at IS NOT NULL", "next_attempt_at", "destination"
        ),
        partial_index("ix_message_sent_at", "sent_at IS NOT NULL", "sent_at", "channel"),
        partial_index("ix_message_abandoned", "state = 'abandoned'", "created_at", "destination"),
    )

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    kind: Mapped[str] = mapped_column(sa.String(32))
    channel: Mapped[str] = mapped_column(sa.String(8))
    to: Mapped[str] = mapped_column(sa.String(254), index=True)
    destination: Mapped[str] = mapped_column(sa.String(254), default="", server_default=sa.text("''"))
    """Mail domain, ``sms``, or ``app:`` and its id: messages wait only for others to the same destination."""
    user_id: Mapped[int | None] = mapped_column(index=True)
    """No foreign key, which would be checked for known people only (ADR 15). Set to NULL when the user is deleted."""
    challenge_id: Mapped[str | None] = mapped_column(sa.String(64))
    facts: Mapped[dict[str, Any]]
    language: Mapped[str] = mapped_column(sa.String(16), default="en")
    tag: Mapped[str] = mapped_column(sa.String(16), default="")
    decoy: Mapped[bool] = mapped_column(default=False)
    """Requested for an identity that nobody has: the same work, but nothing is sent."""
    state: Mapped[str] = mapped_column(sa.String(16), default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column()
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(sa.String(80), default="")
    provider: Mapped[str] = mapped_column(sa.String(16), default="", server_default=sa.text("''"))
    """Which mail server or SMS provider took it: ``primary`` or ``fallback``; "" before, and of older releases."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    sent_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @property
    def masked_to(self) -> str:
        """The recipient as a log may show it; the id of an app is no secret."""
        if self.channel == "logout":
            return self.to
        return identifiers.mask("email" if self.channel == "mail" else "phone", self.to)


class ProviderHealth(db.Model):
    """When a mail server or SMS provider last took a message and last failed, as the workers saw it."""

    __tablename__ = "provider_health"

    channel: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    sent_at: Mapped[datetime | None] = mapped_column()
    failed_at: Mapped[datetime | None] = mapped_column()
    reason: Mapped[str] = mapped_column(sa.String(80), default="")


class Bounce(db.Model):
    """A report that a mail came back, or that its reader called it spam. Without the address, and without words."""

    __tablename__ = "bounce"

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    event: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """A digest of the provider's name for it: the same report may come again."""
    digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    """A keyed digest of the address."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    """``hard``, ``soft`` or ``complaint``."""
    at: Mapped[datetime] = mapped_column(index=True)
    provider: Mapped[str] = mapped_column(sa.String(16))
    code: Mapped[str] = mapped_column(sa.String(16))
    """Status code (RFC 3463) or reply code; "" where none was told."""
    counts: Mapped[bool] = mapped_column(default=True)
    """Whether it is one of those that suppress an address; not after that was lifted."""
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)


class Suppression(db.Model):
    """That an address gets no mail for now."""

    __tablename__ = "suppression"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    masked: Mapped[str] = mapped_column(sa.String(254))
    """The address as an operator may see it: ``a...@example.com``."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    provider: Mapped[str] = mapped_column(sa.String(16))
    code: Mapped[str] = mapped_column(sa.String(16))
    since: Mapped[datetime] = mapped_column(index=True)
    until: Mapped[datetime] = mapped_column(index=True)
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)


class Lease(db.Model):
    """What one worker alone may do until ``until``, such as deleting old rows; also that a worker is alive."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(sa.String(32))
    until: Mapped[datetime] = mapped_column()
    replica: Mapped[str | None] = mapped_column(sa.String(64))
    """Of a worker: the machine or container it runs on, as its settings name it."""
    version: Mapped[str | None] = mapped_column(sa.String(16))
    started_at: Mapped[datetime | None] = mapped_column()
    swept_at: Mapped[datetime | None] = mapped_column()
    """When it was last through with its periodic tasks."""
