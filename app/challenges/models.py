"""Challenge: a passcode or link that was sent. StoredResponse: the answer to a request that may be repeated."""

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

CHALLENGE_TOKEN = SignedId("handle")  # names a challenge to clients; its row says how long it holds

FOR_CLEANUP = "purpose <> ''"
"""True of every row, and said by the cleanup alone. PostgreSQL plans no other statement by that index then: while few
challenges were open, those that end later than now looked as good to it as the one of an id, and it kept that plan.
For that reason no other time of a challenge is in an index but the last, behind what a statement names."""


class Challenge(db.Model):
    """An outstanding question: a passcode or link that was sent, or an enrollment, not yet answered.

    No passcode and no link is in it: both are derived from the method's secret, this row's id and what it is
    bound to. A challenge without a user is a decoy, the same in every way but that nothing answers it.
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
    """A digest of whom it is about: a user, or an identity that nobody has."""
    user_id: Mapped[int | None] = mapped_column(index=True)
    """No foreign key, here and in ``enrolled_id``: a decoy has nothing to check (ADR 15). It goes with its user."""
    enrolled_id: Mapped[str | None] = mapped_column(sa.String(32))
    secret: Mapped[str] = mapped_column(sa.Text, default="")
    """Sealed secret of an enrollment; empty where the enrolled method's own secret is the root."""
    destination: Mapped[str] = mapped_column(sa.String(254))
    asked_as: Mapped[str | None] = mapped_column(sa.String(64))
    """A digest of the identity that was typed: what is asked for by another one is another challenge."""
    binding: Mapped[str] = mapped_column(sa.String(64))
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that asked for a change, or the sign-in under way: no other one answers it. None for a sign-in."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    tag: Mapped[str] = mapped_column(sa.String(8))
    """A short mark that page and mail both show, so that a person can match them."""
    next: Mapped[str] = mapped_column(sa.Text, default="")
    """Where the person was going."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    passcode_expires_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    sends: Mapped[int] = mapped_column(default=0)
    last_sent_at: Mapped[datetime]
    """When it was last sent, or would have been within the budgets."""
    tries: Mapped[int] = mapped_column(default=0)
    spent_at: Mapped[datetime | None]
    carry_tries: Mapped[int] = mapped_column(server_default="0")
    """How often characters were typed on the page that its link opens elsewhere."""
    approved_at: Mapped[datetime | None]
    """When they were right: the browser that asked may go on, once."""
    refused_at: Mapped[datetime | None]
    """When it was ended by somebody with the mail: by wrong characters, or because it was not them who asked."""
    denied_at: Mapped[datetime | None]
    """When that somebody said that it was not them."""

    def is_open(self, now: datetime) -> bool:
        """Whether it can still be answered by its link."""
        return self.spent_at is None and now < self.expires_at


class StoredResponse(db.Model):
    """A request that may be sent again, and the challenge that it asked for the first time. Holds digests alone."""

    __tablename__ = "repeat"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """A digest of the key, of who sent it and where to."""
    body: Mapped[str] = mapped_column(sa.String(64))
    challenge_id: Mapped[str] = mapped_column(sa.String(32))
    created_at: Mapped[datetime] = mapped_column(index=True)


def challenge_token_of(challenge_id: str) -> str:
    """Return the token by which a client names this challenge."""
    return CHALLENGE_TOKEN.sign(keyring, challenge_id)


def challenge_id_in(token: str) -> str | None:
    """Return the id of the challenge that ``token`` names, or None when this service never gave it out."""
    return CHALLENGE_TOKEN.verify(keyring, token)
