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
    """One signed-in browser or API client, with the digest of its token; a stolen row signs nobody in."""

    __tablename__ = "auth_session"
    __table_args__ = (
        sa.Index("ix_auth_session_untold", "id", sqlite_where=sa.text("untold"), postgresql_where=sa.text("untold")),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id", index=True)
    """Shared by a browser's session and its access tokens; they end together."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(8))
    """``browser`` (a cookie) or ``program`` (the Authentication-Token header)."""
    amr: Mapped[str] = mapped_column(sa.String(128))
    """Names of the methods that were verified, joined by commas."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    authenticated_at: Mapped[datetime]
    """When a factor was last verified; freshness counts from here."""
    proved_amr: Mapped[str | None] = mapped_column(sa.String(128))
    """The strongest of the factors that still count as fresh, as in ``amr``."""
    proved_at: Mapped[datetime | None]
    """When that was verified."""
    second_at: Mapped[datetime | None]
    """When it last had two verified factors; None when that no longer counts."""
    grace_until: Mapped[datetime | None]
    """End of the grace period that a fresh request began; it is never extended."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    persistent: Mapped[bool] = mapped_column(default=False)
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    browser: Mapped[str | None] = mapped_column(sa.String(64))
    """Which ``KnownDevice`` of its account it is in, by that one's ``browser``; None for a client without cookies. May
    outlive that row (ADR 64)."""
    challenge_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The challenge that it was created with: reporting that revokes this. May outlive that row."""
    untold: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether its owner has yet to be notified that it is from a new browser."""
    revoked_at: Mapped[datetime | None]
    denied_at: Mapped[datetime | None]
    """When its owner reported it ("this wasn't me"), also after it was revoked."""

    def is_alive(self, now: datetime) -> bool:
        """Whether it is neither revoked, nor expired, nor idle for too long."""
        return self.revoked_at is None and now < self.expires_at and now < self.seen_at + settings.session_idle

    def is_in_grace(self, now: datetime) -> bool:
        """Whether the grace period of a sensitive change is still open."""
        return self.grace_until is not None and now < self.grace_until


class PendingSignIn(db.Model):
    """A sign-in that waits for its second factor. It is no session, and allows nothing but that step.

    Holds the digest of its token; a stolen row is useless.
    """

    __tablename__ = "pending_sign_in"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    amr: Mapped[str] = mapped_column(sa.String(128))
    """The first factor, as it will be in the session."""
    answered_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The challenge of the first factor: reporting that ends this, too."""
    state: Mapped[str] = mapped_column(sa.String(16))
    """``ready``: waits for ``method``; ``select``: waits for one of ``choices``; ``setup_from_login``."""
    choices: Mapped[str] = mapped_column(sa.String(128), default="")
    """Names of the accepted methods, joined by commas."""
    method: Mapped[str] = mapped_column(sa.String(16), default="")
    question_id: Mapped[str | None] = mapped_column(sa.String(32))
    """The challenge of the second step, if something was sent or is being set up."""
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
        """Whether it neither has ended nor expired."""
        return self.ended_at is None and now < self.expires_at


class ApiToken(db.Model):
    """A token that a user created for a script, with its digest; a stolen row is useless."""

    __tablename__ = "personal_token"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    """Names it in URLs; not part of the token."""
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    scopes: Mapped[str] = mapped_column(sa.String(128))
    """What it can be used for, joined by commas."""
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id")
    """The session that created it. May outlive that row."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str] = mapped_column(sa.String(64), default="")
    revoked_at: Mapped[datetime | None]

    def is_alive(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at


class RefreshToken(db.Model):
    """What keeps an API client signed in: one row for a session, however often its token is exchanged.

    A token names its row by its first characters; of the secrets in the rest only the newest is right.
    """

    __tablename__ = "refresh_token"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Digest of the characters by which a token names this row."""
    digest: Mapped[str] = mapped_column(sa.String(64))
    """Of the newest token."""
    session_id: Mapped[str] = mapped_column("family", sa.String(32), key="session_id", unique=True)
    """The session that issued it; it ends with that."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime] = mapped_column(index=True)
    """When it was issued or last exchanged."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    amr: Mapped[str] = mapped_column(sa.String(128))
    """This and the columns below: how the session was verified when it issued this. An exchange verifies nothing, and a
    later verification in the browser makes no API client fresher."""
    authenticated_at: Mapped[datetime]
    proved_amr: Mapped[str | None] = mapped_column(sa.String(128))
    proved_at: Mapped[datetime | None]
    second_at: Mapped[datetime | None]


class KnownDevice(db.Model):
    """A browser in which a user has signed in before (ADR 10). It holds the digest of its cookie, which opens nothing.

    Each account that was signed in to there has a row, and a secret, of its own. The row is also the device's
    ``FailureCounter``, whose table this is: so one statement notes a sign-in and refunds its attempt.
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
