"""Passkey, RecoveryCode, WebauthnChallenge, and KeyAnnouncement."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.extensions import db


class RecoveryCode(db.Model):
    """One of a user's recovery codes. It works once; only its hash is stored."""

    __tablename__ = "recovery_code"
    __table_args__ = (sa.UniqueConstraint("user_id", "selector"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    selector: Mapped[str] = mapped_column(sa.String(2))
    """Its first two characters, used to look it up. Not secret, and unique among the user's codes."""
    hash: Mapped[str] = mapped_column(sa.String(128))
    """argon2id hash, in PHC string format, of the other 14 characters (70 random bits)."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that created the set, so that reporting that session removes it."""
    used_at: Mapped[datetime | None]

    method = "recovery_code"
    """Method name in events and in ``amr``."""


class Passkey(db.Model):
    """A user's passkey: a public key, and what its authenticator reported about itself. Nothing in it is secret."""

    __tablename__ = "passkey"
    __table_args__ = (sa.UniqueConstraint("user_id", "name"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    credential_id: Mapped[str] = mapped_column(sa.String(1368), unique=True)
    """Unpadded base64url; at most 1023 bytes decoded (Web Authentication, section 7.1)."""
    public_key: Mapped[bytes] = mapped_column(sa.LargeBinary)
    """COSE key."""
    sign_count: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    transports: Mapped[str] = mapped_column(sa.String(100), default="")
    """Comma-separated transports, as a hint for browsers."""
    backup_eligible: Mapped[bool]
    """Whether it can be synced to other devices; never changes."""
    backup_state: Mapped[bool]
    """Whether it is synced, as last reported."""
    aaguid: Mapped[str] = mapped_column(sa.String(36))
    """The authenticator's model or service, as it reports itself; all zeros if unknown."""
    name: Mapped[str] = mapped_column(sa.String(64))
    usage: Mapped[str] = mapped_column(sa.String(16))
    """``first``: can be used alone to sign in; ``secondary``: only as a second factor."""
    discoverable: Mapped[bool | None]
    """Whether browsers can find it without its id (discoverable credential); None if not reported."""
    verified: Mapped[bool]
    """Whether it has ever performed user verification (PIN, fingerprint or face)."""
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that added it, so that reporting that session removes it."""
    weak_until: Mapped[datetime | None]
    """End of its cooldown, during which it is only as strong as an emailed code, since it was added after a
    verification weaker than the owner's strongest method."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_used_at: Mapped[datetime | None]

    method = "webauthn"
    """Method name in events and in ``amr``."""

    def in_cooldown(self, now: datetime) -> bool:
        """Return whether it is currently only as strong as an emailed code."""
        return self.weak_until is not None and now < self.weak_until

    @property
    def device_type(self) -> str:
        """``multi_device`` if it can be synced, else ``single_device``."""
        return "multi_device" if self.backup_eligible else "single_device"


class WebauthnChallenge(db.Model):
    """A WebAuthn challenge, created for one ceremony in one browser. It can be answered once."""

    __tablename__ = "ceremony"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    kind: Mapped[str] = mapped_column(sa.String(8))
    """``create``, ``get`` (sign in), ``second`` (second factor) or ``verify`` (reauthenticate)."""
    challenge: Mapped[str] = mapped_column(sa.String(43))
    """32 random bytes as base64url. Not secret, since it's sent to the page."""
    binding: Mapped[str] = mapped_column(sa.String(64))
    """Id of the session or pending sign-in that requested it; otherwise a digest of the browser's secret, or ""."""
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    """The owner of the passkey; None if any user may answer."""
    name: Mapped[str] = mapped_column(sa.String(64), default="")
    usage: Mapped[str] = mapped_column(sa.String(16), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class KeyAnnouncement(db.Model):
    """A running process and the encryption keys it has. Dead processes don't remove their rows."""

    __tablename__ = "key_holder"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    kids: Mapped[str] = mapped_column(sa.String(255))
    """Key ids, separated by spaces."""
    seen_at: Mapped[datetime]
