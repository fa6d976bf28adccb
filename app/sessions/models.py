"""AuthSession: one signed-in browser or program. KnownBrowser: where somebody has signed in before."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db, settings


class AuthSession(db.Model):
    """One signed-in browser or program. Holds the digest of its token; a stolen row signs nobody in."""

    __tablename__ = "auth_session"

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    family: Mapped[str] = mapped_column(sa.String(32), index=True)
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
    grace_until: Mapped[datetime | None]
    """End of the grace that a fresh request opened; it is never moved."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    persistent: Mapped[bool] = mapped_column(default=False)
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(sa.String(256))
    revoked_at: Mapped[datetime | None]

    def is_alive(self, now: datetime) -> bool:
        """Whether it still signs its holder in."""
        return self.revoked_at is None and now < self.expires_at and now < self.seen_at + settings.session_idle

    def is_fresh(self, now: datetime) -> bool:
        """Whether a proof was given recently enough for a sensitive step."""
        return now < self.authenticated_at + settings.freshness or (
            self.grace_until is not None and now < self.grace_until
        )


class KnownBrowser(db.Model):
    """A browser from which this user has signed in. Holds the digest of its cookie, which opens nothing.

    One cookie serves every account that was signed in to there: a row for each.
    """

    __tablename__ = "known_browser"
    __table_args__ = (sa.UniqueConstraint("user_id", "digest"),)

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(sa.String(64))
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
    """When the user last signed in there, to the day."""
    agent: Mapped[str] = mapped_column(sa.String(256))
    revoked_at: Mapped[datetime | None]
