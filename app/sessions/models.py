"""AuthSession: who is signed in. PendingSignIn, ApiToken, RefreshToken."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import BrowserName
from app.extensions import db, settings


class AuthSession(db.Model):
    """One signed-in browser or program. Holds the digest of its token; a stolen row signs nobody in."""

    __tablename__ = "auth_session"
    __table_args__ = (
        sa.Index("ix_auth_session_untold", "id", sqlite_where=sa.text("untold"), postgresql_where=sa.text("untold")),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id", index=True)
    """Shared by a browser's session and the program tokens it was given; they end together."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(8))
    """``browser`` (a cookie) or ``program`` (the Authentication-Token header)."""
    amr: Mapped[str] = mapped_column(sa.String(128))
    """Names of the methods that were proved, joined by commas."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    authenticated_at: Mapped[datetime]
    """When a proof was last given; freshness counts from here."""
    proved_amr: Mapped[str | None] = mapped_column(sa.String(128))
    """What the strongest of the proofs that still count as fresh was, in the manner of ``amr``."""
    proved_at: Mapped[datetime | None]
    """When that was given."""
    second_at: Mapped[datetime | None]
    """When it was last proved by two factors; None when that counts no more."""
    grace_until: Mapped[datetime | None]
    """End of the grace that a fresh request opened; it is never moved."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    persistent: Mapped[bool] = mapped_column(default=False)
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    challenge_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The challenge that opened it, so that denying the one ends the other. May outlive that row."""
    untold: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether its owner is still to be told that it was opened from a new browser."""
    revoked_at: Mapped[datetime | None]
    denied_at: Mapped[datetime | None]
    """When its owner said that it was somebody else, which can be said of one that has ended."""

    def is_alive(self, now: datetime) -> bool:
        """Whether it still signs its holder in."""
        return self.revoked_at is None and now < self.expires_at and now < self.seen_at + settings.session_idle

    def is_in_grace(self, now: datetime) -> bool:
        """Whether a sensitive step has left time for the next one."""
        return self.grace_until is not None and now < self.grace_until


class PendingSignIn(db.Model):
    """A sign-in between its first proof and its second step. Signs nobody in, and opens nothing but that step.

    Holds the digest of its token; a stolen row takes no step.
    """

    __tablename__ = "pending_sign_in"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    amr: Mapped[str] = mapped_column(sa.String(128))
    """What was proved first, as it will stand in the session."""
    answered_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The challenge that the first proof answered, so that denying it ends this as well."""
    state: Mapped[str] = mapped_column(sa.String(16))
    """``ready``: ``method`` is asked for; ``select``: one of ``choices`` is to be chosen; ``setup_from_login``."""
    choices: Mapped[str] = mapped_column(sa.String(128), default="")
    """Names of the methods that will do, joined by commas."""
    method: Mapped[str] = mapped_column(sa.String(16), default="")
    question_id: Mapped[str | None] = mapped_column(sa.String(32))
    """The challenge of the second step, where something was sent or is being set up."""
    tries: Mapped[int] = mapped_column(default=0)
    remember: Mapped[bool] = mapped_column(default=False)
    next: Mapped[str] = mapped_column(sa.Text, default="")
    """Where the person was going."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]

    def is_open(self, now: datetime) -> bool:
        """Whether its second step can still be taken."""
        return self.ended_at is None and now < self.expires_at


class ApiToken(db.Model):
    """A token that a person made for a program of theirs. Holds its digest; a stolen row opens nothing."""

    __tablename__ = "personal_token"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    """Names it in addresses; no part of the token."""
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    scopes: Mapped[str] = mapped_column(sa.String(128))
    """What it may be used for, joined by commas."""
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id")
    """The session that made it. May outlive that row."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str] = mapped_column(sa.String(64), default="")
    revoked_at: Mapped[datetime | None]

    def is_alive(self, now: datetime) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None and now < self.expires_at


class RefreshToken(db.Model):
    """What lets a program stay signed in: one row for a session, however often its token was exchanged.

    A token names its row by the first letters, and holds a secret besides; only the newest secret is right.
    """

    __tablename__ = "refresh_token"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Digest of the letters by which a token names this row."""
    digest: Mapped[str] = mapped_column(sa.String(64))
    """Of the newest token, whole."""
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id", unique=True)
    """The session that gave it; it ends with that."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime] = mapped_column(index=True)
    """When it was given, or last exchanged."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    amr: Mapped[str] = mapped_column(sa.String(128))
    """This and what follows: what the session was proved by when it gave this. Exchanging proves nothing, and what is
    proved in the browser later makes no program fresher."""
    authenticated_at: Mapped[datetime]
    proved_amr: Mapped[str | None] = mapped_column(sa.String(128))
    proved_at: Mapped[datetime | None]
    second_at: Mapped[datetime | None]
