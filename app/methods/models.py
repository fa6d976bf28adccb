"""EnrolledMethod, Passkey, Challenge, Ceremony and Repeat: what a user can prove by, and the questions still open."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.database import BrowserName
from app.extensions import db
from app.kit import clock, secrets

SEALED_UNDER = "substr(secret, 4, 8)"
"""The id of the key under which a row's secret is sealed (``v1.<key>....``), as its index has it."""

IS_SEALED = "secret <> ''"


IS_AUTHENTICATOR = sa.text("method = 'authenticator'")
"""Authenticator apps alone may be several of one user, told apart by name."""


def key_index(name: str) -> sa.Index:
    """Return the index by which the keys in use are found without reading the rows."""
    sealed = sa.text(IS_SEALED)
    return sa.Index(name, sa.text(SEALED_UNDER), sqlite_where=sealed, postgresql_where=sealed)


class EnrolledMethod(db.Model):
    """A way in that a user has set up. The secret is sealed to this row, user and method.

    A user has one row of each method, but a row for each authenticator app (``methods/authenticators``).

    ``secret`` opens to a base32 TOTP secret of 160 bits, or for a password to its argon2id hash (or an imported one,
    until it is first used: ``imported_hashes``).
    """

    __tablename__ = "enrolled_method"
    __table_args__ = (
        sa.Index("ix_enrolled_method_user_id_method", "user_id", "method"),
        key_index("ix_enrolled_method_key"),
        sa.Index(
            "ix_enrolled_method_app_name",
            "user_id",
            "name",
            unique=True,
            sqlite_where=IS_AUTHENTICATOR,
            postgresql_where=IS_AUTHENTICATOR,
        ),
    )

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    method: Mapped[str] = mapped_column(sa.String(16))
    secret: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.String(64), default="")
    """What its owner calls an authenticator app, "" by default; of a pending password a digest of the browser."""
    last_step: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """The newest 30-second step an authenticator has proved; that step and older ones prove nothing more."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    family: Mapped[str | None] = mapped_column(sa.String(32))
    """The session that set it up, so that denying that session takes it back; None for what came with the account."""
    last_used_at: Mapped[datetime | None]
    is_second: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether it is asked for as a second step, after another proof."""
    weak_until: Mapped[datetime | None]
    """Until when it counts no more than a mailed code, because no more than that added it (``probation``)."""
    misses: Mapped[int] = mapped_column(default=0, server_default="0")
    """Wrong codes of this authenticator in a row as a second step."""
    signs_in: Mapped[bool | None]
    """Whether an authenticator is a way to sign in by itself: False for one that was set up as a second step, True for
    one that is both because its owner said so, None for one that is while it is not asked for as a second step."""

    @property
    def is_pending(self) -> bool:
        """Whether this is a password that waits for its browser to prove the address; until then it opens nothing."""
        return self.method == "password" and self.name != ""

    def is_second_alone(self, *, asked: bool) -> bool:
        """Whether this is an authenticator that signs nobody in by itself.

        :param asked: whether anybody is asked for a second step here (``LATCHKEY_SECOND_FACTOR``)
        """
        is_asked_for = asked and self.is_second and not self.signs_in
        return self.method == "authenticator" and (self.signs_in is False or is_asked_for)

    def in_cooldown(self, now: datetime) -> bool:
        """Whether it counts no more than a mailed code at this time."""
        return self.weak_until is not None and now < self.weak_until


def has_second(user_id: sa.ColumnElement[int | None]) -> sa.ColumnElement[bool]:
    """Return the expression that says whether this user is asked for a second step, for statements to carry along."""
    asked = EnrolledMethod.__table__.alias("asked")
    return sa.exists().where(asked.c.user_id == user_id, asked.c.is_second).label("has_second")


class Challenge(db.Model):
    """An outstanding question: a passcode or link that was sent, or an enrollment, not yet answered.

    No passcode and no link is in it: both are derived from the method's secret, this row's id and what it is
    bound to. A challenge without a user is a decoy, the same in every way but that nothing answers it.
    """

    __tablename__ = "challenge"
    __table_args__ = (
        sa.Index("ix_challenge_subject_binding", "subject", "binding", "purpose"),
        sa.Index("ix_challenge_binding_created_at", "binding", "created_at"),
        sa.Index("ix_challenge_destination_last_sent_at", "destination", "last_sent_at"),
        key_index("ix_challenge_key"),
    )

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    purpose: Mapped[str] = mapped_column(sa.String(16))
    method: Mapped[str] = mapped_column(sa.String(16))
    subject: Mapped[str] = mapped_column(sa.String(64))
    """A digest of whom it is about: a user, or an identity that nobody has."""
    user_id: Mapped[int | None] = mapped_column(index=True)
    """No foreign key, here and in ``enrolled_id``: a decoy has nothing to check (ADR 15). It goes with its user."""
    enrolled_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    secret: Mapped[str] = mapped_column(sa.Text, default="")
    """Sealed secret of an enrollment; empty where the enrolled method's own secret is the root."""
    destination: Mapped[str] = mapped_column(sa.String(254))
    asked_as: Mapped[str | None] = mapped_column(sa.String(64))
    """A digest of the identity that was typed: what is asked for by another one is another challenge."""
    binding: Mapped[str] = mapped_column(sa.String(64))
    family: Mapped[str | None] = mapped_column(sa.String(32))
    """The session that asked for a change, or the sign-in under way: no other one answers it. None for a sign-in."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)
    tag: Mapped[str] = mapped_column(sa.String(8))
    """A short mark that page and mail both show, so that a person can match them."""
    next: Mapped[str] = mapped_column(sa.Text, default="")
    """Where the person was going."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    passcode_expires_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
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


class Repeat(db.Model):
    """A request that may be sent again, and the challenge that it asked for the first time. Holds digests alone."""

    __tablename__ = "repeat"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """A digest of the key, of who sent it and where to."""
    body: Mapped[str] = mapped_column(sa.String(64))
    challenge_id: Mapped[str] = mapped_column(sa.String(32))
    created_at: Mapped[datetime] = mapped_column(index=True)


class RecoveryCode(db.Model):
    """One code of a set that somebody keeps on paper. Good once; what is stored signs nobody in."""

    __tablename__ = "recovery_code"
    __table_args__ = (sa.UniqueConstraint("user_id", "selector"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    selector: Mapped[str] = mapped_column(sa.String(2))
    """Its first two characters, by which it is found: no secret, and no other of the set has them."""
    hash: Mapped[str] = mapped_column(sa.String(128))
    """Of the other fourteen, 70 random bits: argon2id, in the PHC string form."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    family: Mapped[str | None] = mapped_column(sa.String(32))
    """The session that made the set, so that denying that session takes it back."""
    used_at: Mapped[datetime | None]

    method = "recovery_code"
    """What a proof by one is called, in events and in ``amr``."""


class SendWindow(db.Model):
    """How much the whole service has sent since a window began; or since when a breaker is open."""

    __tablename__ = "send_window"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    """Its name: ``mail``, ``sms``, or ``stopped:`` and a country or range of numbers."""
    began_at: Mapped[datetime] = mapped_column(index=True)
    count: Mapped[int]


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
    family: Mapped[str | None] = mapped_column(sa.String(32))
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


class Ceremony(db.Model):
    """A passkey's challenge: made for one ceremony and one browser, answered once or never."""

    __tablename__ = "ceremony"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    kind: Mapped[str] = mapped_column(sa.String(8))
    """``create``, ``get`` (sign in), ``second`` (its second step) or ``verify`` (prove again)."""
    challenge: Mapped[str] = mapped_column(sa.String(43))
    """32 random bytes as base64url; no secret, for it goes through the page."""
    binding: Mapped[str] = mapped_column(sa.String(64))
    """The session that asked, by its family; before there is one the digest of the browser's secret, "" without."""
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    """Whose passkey it is about; None where anybody may answer."""
    name: Mapped[str] = mapped_column(sa.String(64), default="")
    usage: Mapped[str] = mapped_column(sa.String(16), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class KeyHolder(db.Model):
    """A process that runs, and the keys that it can read with. Processes come and go without a word."""

    __tablename__ = "key_holder"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    kids: Mapped[str] = mapped_column(sa.String(255))
    """Ids of keys, with blanks between them."""
    seen_at: Mapped[datetime]
