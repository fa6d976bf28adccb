"""Passkey, RecoveryCode, WebauthnChallenge, and KeyAnnouncement."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.extensions import db


class RecoveryCode(db.Model):
    """One code of a user's set of recovery codes. It works once; only its hash is stored."""

    __tablename__ = "recovery_code"
    __table_args__ = (sa.UniqueConstraint("user_id", "selector"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    selector: Mapped[str] = mapped_column(sa.String(2))
    """Its first two characters, by which it is found: no secret, and no other of the set has them."""
    hash: Mapped[str] = mapped_column(sa.String(128))
    """Of the other fourteen, 70 random bits: argon2id, in the PHC string form."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that made the set, so that denying that session takes it back."""
    used_at: Mapped[datetime | None]

    method = "recovery_code"
    """What a proof by one is called, in events and in ``amr``."""


class Passkey(db.Model):
    """A passkey of a user: a public key, and what its authenticator said of itself. Nothing in it is a secret."""

    __tablename__ = "passkey"
    __table_args__ = (sa.UniqueConstraint("user_id", "name"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    credential_id: Mapped[str] = mapped_column(sa.String(1368), unique=True)
    """As base64url without padding; at most 1023 bytes (Web Authentication, section 7.1)."""
    public_key: Mapped[bytes] = mapped_column(sa.LargeBinary)
    """As a COSE key."""
    sign_count: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    transports: Mapped[str] = mapped_column(sa.String(100), default="")
    """How browsers reach it, joined by commas: a hint."""
    backup_eligible: Mapped[bool]
    """Whether it may be synced to other devices; never changes."""
    backup_state: Mapped[bool]
    """Whether it is synced, as it said last."""
    aaguid: Mapped[str] = mapped_column(sa.String(36))
    """Which model or service holds it, as it says of itself; zeros say nothing."""
    name: Mapped[str] = mapped_column(sa.String(64))
    usage: Mapped[str] = mapped_column(sa.String(16))
    """``first``: it signs in alone; ``secondary``: only after another way."""
    discoverable: Mapped[bool | None]
    """Whether a browser finds it without being told which; None when it did not say."""
    verified: Mapped[bool]
    """Whether it has ever asked its holder for a PIN, a finger or a face."""
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that added it, so that denying that session takes it back."""
    weak_until: Mapped[datetime | None]
    """Until when it counts no more than a mailed code, because less than its owner's best proof added it."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_used_at: Mapped[datetime | None]

    method = "webauthn"
    """What it is called among the methods that were proved."""

    def in_cooldown(self, now: datetime) -> bool:
        """Whether it counts no more than a mailed code at this time."""
        return self.weak_until is not None and now < self.weak_until

    @property
    def device_type(self) -> str:
        """``multi_device`` for one that can be synced, else ``single_device``."""
        return "multi_device" if self.backup_eligible else "single_device"


class WebauthnChallenge(db.Model):
    """A passkey's challenge: made for one ceremony and one browser, answered once or never."""

    __tablename__ = "ceremony"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    kind: Mapped[str] = mapped_column(sa.String(8))
    """``create``, ``get`` (sign in), ``second`` (its second step) or ``verify`` (prove again)."""
    challenge: Mapped[str] = mapped_column(sa.String(43))
    """32 random bytes as base64url; no secret, for it goes through the page."""
    binding: Mapped[str] = mapped_column(sa.String(64))
    """The session that asked, by its id; before there is one the digest of the browser's secret, "" without."""
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    """Whose passkey it is about; None where anybody may answer."""
    name: Mapped[str] = mapped_column(sa.String(64), default="")
    usage: Mapped[str] = mapped_column(sa.String(16), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class KeyAnnouncement(db.Model):
    """A process that runs, and the keys that it can read with. Processes come and go without a word."""

    __tablename__ = "key_holder"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    kids: Mapped[str] = mapped_column(sa.String(255))
    """Ids of keys, with blanks between them."""
    seen_at: Mapped[datetime]
