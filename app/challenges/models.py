"""Challenge: a passcode or link that was sent. StoredResponse: the challenge that an idempotency key stands for."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.crypto.signed_tokens import SignedId
from app.db import BrowserName, partial_index
from app.enrollments.models import key_index
from app.extensions import db, keyring

CHALLENGE_TOKEN = SignedId("handle")  # identifies a challenge to clients; never expires, but its row does

FOR_CLEANUP = "purpose <> ''"
"""True for every row, but only the cleanup query includes it, so PostgreSQL uses this partial index for no other
statement. Without it, while few challenges were open, the planner rated a scan by ``expires_at > now`` as cheap as a
lookup by id, and cached that plan. For the same reason the only other timestamp in an index is ``last_sent_at``, after
a column that statements compare for equality."""


class Challenge(db.Model):
    """A passcode or link that was sent, or an enrollment that was started.

    It stores no passcode and no link: both are derived from the method's secret, this row's id and its binding. A
    challenge without a user is a decoy. It looks like any other, but can't be answered unless it may create an account.
    """

    __tablename__ = "challenge"
    __table_args__ = (
        sa.Index("ix_challenge_subject_binding", "subject", "binding", "purpose"),
        sa.Index("ix_challenge_binding", "binding"),
        sa.Index("ix_challenge_destination_last_sent_at", "destination", "last_sent_at"),
        partial_index("ix_challenge_ended", FOR_CLEANUP, "expires_at"),
        key_index("ix_challenge_key"),
    )

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    purpose: Mapped[str] = mapped_column(sa.String(16))
    method: Mapped[str] = mapped_column(sa.String(16))
    subject: Mapped[str] = mapped_column(sa.String(64))
    """A digest of the user, or of an unknown identity."""
    user_id: Mapped[int | None] = mapped_column(index=True)
    """No foreign key here or in ``enrolled_id``, since a decoy would skip its check (ADR 15). Deleted with the user."""
    enrolled_id: Mapped[str | None] = mapped_column(sa.String(32))
    secret: Mapped[str] = mapped_column(sa.Text, default="")
    """Encrypted secret of an enrollment; empty if the passcode derives from the enrolled method's secret."""
    destination: Mapped[str] = mapped_column(sa.String(254))
    asked_as: Mapped[str | None] = mapped_column(sa.String(64))
    """A digest of the identity that was typed. Requests by another identity get a challenge of their own."""
    binding: Mapped[str] = mapped_column(sa.String(64))
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that requested a change, or the pending sign-in; only that one can answer. None for a sign-in."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    tag: Mapped[str] = mapped_column(sa.String(8))
    """A short reference shown on the page and in the email, so that people can match them."""
    next: Mapped[str] = mapped_column(sa.Text, default="")
    """URL to continue to after signing in."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    passcode_expires_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    sends: Mapped[int] = mapped_column(default=0)
    last_sent_at: Mapped[datetime]
    """When it was last sent, or would have been if the budgets had allowed it."""
    tries: Mapped[int] = mapped_column(default=0)
    spent_at: Mapped[datetime | None]
    carry_tries: Mapped[int] = mapped_column(server_default="0")
    """Attempts to enter the confirmation characters on the device that opened the link."""
    approved_at: Mapped[datetime | None]
    """When the right characters were entered. The browser that requested the challenge may then continue, once."""
    refused_at: Mapped[datetime | None]
    """When the recipient ended it, by entering wrong characters too often or by reporting the request."""
    denied_at: Mapped[datetime | None]
    """When the recipient reported the request ("this wasn't me")."""

    def is_open(self, now: datetime) -> bool:
        """Return whether its link still works."""
        return self.spent_at is None and now < self.expires_at


class StoredResponse(db.Model):
    """An idempotency key, and the challenge that the first request with it started. Stores only digests."""

    __tablename__ = "repeat"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """A digest of the key, the sender and the path."""
    body: Mapped[str] = mapped_column(sa.String(64))
    challenge_id: Mapped[str] = mapped_column(sa.String(32))
    created_at: Mapped[datetime] = mapped_column(index=True)


def challenge_token_of(challenge_id: str) -> str:
    """Return the signed token that a client uses to refer to this challenge."""
    return CHALLENGE_TOKEN.sign(keyring, challenge_id)


def challenge_id_in(token: str) -> str | None:
    """Return the id of the challenge that ``token`` refers to, or None if we didn't issue the token."""
    return CHALLENGE_TOKEN.verify(keyring, token)
