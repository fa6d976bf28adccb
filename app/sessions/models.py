"""AuthSession: who is signed in. PendingSignIn, ApiToken, RefreshToken, KnownDevice."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import BrowserName
from app.extensions import db, settings
from app.throttling.models import FailureCounter


class AuthSession(db.Model):
    """One signed-in browser or API client. Stores only the digest of its token, so a leaked row can't be used."""

    __tablename__ = "auth_session"
    __table_args__ = (
        sa.Index("ix_auth_session_untold", "id", sqlite_where=sa.text("untold"), postgresql_where=sa.text("untold")),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id", index=True)
    """Shared by a browser's session and its access tokens, which end together."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(8))
    """``browser`` (a cookie) or ``program`` (the Authentication-Token header)."""
    amr: Mapped[str] = mapped_column(sa.String(128))
    """Comma-separated names of the verified methods."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    authenticated_at: Mapped[datetime]
    """When a factor was last verified. Freshness is measured from here."""
    proved_amr: Mapped[str | None] = mapped_column(sa.String(128))
    """The strongest verification that still counts as fresh, in the format of ``amr``."""
    proved_at: Mapped[datetime | None]
    """When that was verified."""
    second_at: Mapped[datetime | None]
    """When its two-factor rights were granted or renewed; None without two-factor rights."""
    grace_until: Mapped[datetime | None]
    """End of the grace period that a fresh request started; never extended."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    persistent: Mapped[bool] = mapped_column(default=False)
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    browser: Mapped[str | None] = mapped_column(sa.String(64))
    """``KnownDevice.browser`` of the device it was opened on; None for a client without cookies. May outlive that row
    (ADR 64)."""
    challenge_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The challenge that created it. Reporting the challenge revokes the session. May outlive that row."""
    untold: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether its owner still has to be notified that it is from a new browser."""
    revoked_at: Mapped[datetime | None]
    denied_at: Mapped[datetime | None]
    """When its owner reported it ("this wasn't me"), possibly after it was revoked."""

    def is_alive(self, now: datetime) -> bool:
        """Return whether it is neither revoked, expired nor idle for too long."""
        return self.revoked_at is None and now < self.expires_at and now < self.seen_at + settings.session_idle

    def is_in_grace(self, now: datetime) -> bool:
        """Return whether the grace period for sensitive changes is still running."""
        return self.grace_until is not None and now < self.grace_until


class PendingSignIn(db.Model):
    """A sign-in that waits for its second factor. It isn't a session, and allows nothing but that step.

    Stores only the digest of its token, so a leaked row can't be used.
    """

    __tablename__ = "pending_sign_in"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    amr: Mapped[str] = mapped_column(sa.String(128))
    """The first factor, in the format of ``AuthSession.amr``."""
    answered_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The challenge of the first factor. Reporting it ends this sign-in, too."""
    state: Mapped[str] = mapped_column(sa.String(16))
    """``ready``: waits for ``method``; ``select``: waits for one of ``choices``; ``setup_from_login``."""
    choices: Mapped[str] = mapped_column(sa.String(128), default="")
    """Comma-separated names of the accepted methods."""
    method: Mapped[str] = mapped_column(sa.String(16), default="")
    question_id: Mapped[str | None] = mapped_column(sa.String(32))
    """The challenge of the second step, if something was sent or is being set up."""
    tries: Mapped[int] = mapped_column(default=0)
    remember: Mapped[bool] = mapped_column(default=False)
    next: Mapped[str] = mapped_column(sa.Text, default="")
    """URL to continue to after signing in."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]

    def is_open(self, now: datetime) -> bool:
        """Return whether it has neither ended nor expired."""
        return self.ended_at is None and now < self.expires_at


class ApiToken(db.Model):
    """A token that a user created for a script. Stores only its digest, so a leaked row can't be used."""

    __tablename__ = "personal_token"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    """Used in URLs; not part of the token."""
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    scopes: Mapped[str] = mapped_column(sa.String(128))
    """Comma-separated scopes."""
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id")
    """The session that created it. The token may outlive that row."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str] = mapped_column(sa.String(64), default="")
    revoked_at: Mapped[datetime | None]

    def is_alive(self, now: datetime) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at


class RefreshToken(db.Model):
    """The refresh token of an API client: one row per session, no matter how often the token is exchanged.

    The first characters of a token identify its row; the rest is a secret, of which only the latest is valid.
    """

    __tablename__ = "refresh_token"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Digest of the characters of the token that identify this row."""
    digest: Mapped[str] = mapped_column(sa.String(64))
    """Digest of the latest token."""
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id", unique=True)
    """The session that issued it. They end together."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime] = mapped_column(index=True)
    """When it was issued or last exchanged."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    amr: Mapped[str] = mapped_column(sa.String(128))
    """This and the columns below record how the session was verified when it issued the token. An exchange verifies
    nothing, and a later verification in the browser doesn't make an API client fresh."""
    authenticated_at: Mapped[datetime]
    proved_amr: Mapped[str | None] = mapped_column(sa.String(128))
    proved_at: Mapped[datetime | None]
    second_at: Mapped[datetime | None]


class KnownDevice(db.Model):
    """A browser in which a user has signed in before (ADR 10). Stores the digest of its cookie, which grants no access.

    Each account used in a browser has its own row and secret. The row is also the device's ``FailureCounter``, and
    shares its table, so that one statement can record a sign-in and refund its attempt.
    """

    __table__ = FailureCounter.__table__
    __mapper_args__: ClassVar = {
        "include_properties": [
            "id", "user_id", "browser", "agent", "touched_at", "first_seen_at", "last_seen_at", "revoked_at",
            "trusted_until",
        ],
    }  # fmt: skip

    if TYPE_CHECKING:
        id: Mapped[str]
        user_id: Mapped[int | None]
        browser: Mapped[str]
        agent: Mapped[str]
        touched_at: Mapped[datetime]
        first_seen_at: Mapped[datetime | None]
        last_seen_at: Mapped[datetime | None]
        revoked_at: Mapped[datetime | None]
        trusted_until: Mapped[datetime | None]
