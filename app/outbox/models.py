"""Models of the outbox: messages to send, provider health, bounces, suppressed addresses, and worker leases."""

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
    """An email, text message or logout token to send. Holds no text: content is rendered at send time.

    ``next_attempt_at`` is the only column that decides when a row is due, and is NULL once the message is settled.
    While a worker is sending, it holds the end of that worker's lease, so after a crash the row becomes due again.
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
    """Mail domain, ``sms``, or ``app:`` and the client id. Each destination is a queue of its own."""
    user_id: Mapped[int | None] = mapped_column(index=True)
    """Not a foreign key, whose check would only run for known accounts (ADR 15). NULL once the user is deleted."""
    challenge_id: Mapped[str | None] = mapped_column(sa.String(64))
    facts: Mapped[dict[str, Any]]
    language: Mapped[str] = mapped_column(sa.String(16), default="en")
    tag: Mapped[str] = mapped_column(sa.String(16), default="")
    decoy: Mapped[bool] = mapped_column(default=False)
    """Created for an identity that no account has. Costs the same work, but nothing is sent."""
    state: Mapped[str] = mapped_column(sa.String(16), default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column()
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(sa.String(80), default="")
    provider: Mapped[str] = mapped_column(sa.String(16), default="", server_default=sa.text("''"))
    """Mail server or SMS provider that accepted it, ``primary`` or ``fallback``. Empty until then, and in rows written
    by older releases."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    sent_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @property
    def masked_to(self) -> str:
        """The recipient, masked for logs. Client ids are not secret and shown as they are."""
        if self.channel == "logout":
            return self.to
        return identifiers.mask("email" if self.channel == "mail" else "phone", self.to)


class ProviderHealth(db.Model):
    """When a mail server or SMS provider last accepted a message and last failed, across all workers."""

    __tablename__ = "provider_health"

    channel: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    sent_at: Mapped[datetime | None] = mapped_column()
    failed_at: Mapped[datetime | None] = mapped_column()
    reason: Mapped[str] = mapped_column(sa.String(80), default="")


class Bounce(db.Model):
    """A bounce or spam complaint. Stores neither the address nor the text of the report."""

    __tablename__ = "bounce"

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    event: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """Digest of the provider's event id, for deduplication: providers may deliver the same report again."""
    digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    """Keyed digest of the address."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    """``hard``, ``soft`` or ``complaint``."""
    at: Mapped[datetime] = mapped_column(index=True)
    provider: Mapped[str] = mapped_column(sa.String(16))
    code: Mapped[str] = mapped_column(sa.String(16))
    """Status code (RFC 3463) or SMTP reply code; "" if the report had none."""
    counts: Mapped[bool] = mapped_column(default=True)
    """Whether it counts toward suppressing the address. False once a suppression of the address was lifted."""
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)


class Suppression(db.Model):
    """An address that temporarily receives no mail."""

    __tablename__ = "suppression"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    masked: Mapped[str] = mapped_column(sa.String(254))
    """The address as shown to operators: ``a...@example.com``."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    provider: Mapped[str] = mapped_column(sa.String(16))
    code: Mapped[str] = mapped_column(sa.String(16))
    since: Mapped[datetime] = mapped_column(index=True)
    until: Mapped[datetime] = mapped_column(index=True)
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)


class Lease(db.Model):
    """An exclusive role, such as deleting old rows, held by one worker until ``until``. Also a worker's heartbeat."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(sa.String(32))
    until: Mapped[datetime] = mapped_column()
    replica: Mapped[str | None] = mapped_column(sa.String(64))
    """For a worker: the machine or container it runs on, as named in its settings."""
    version: Mapped[str | None] = mapped_column(sa.String(16))
    started_at: Mapped[datetime | None] = mapped_column()
    swept_at: Mapped[datetime | None] = mapped_column()
    """When it last completed its periodic tasks."""
