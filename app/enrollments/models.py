"""Enrollment: an authenticator that a user has set up."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.enrollments.methods import method_of
from app.extensions import db

SEALED_UNDER = "substr(secret, 4, 8)"
"""SQL for the id of the key that encrypts a row's secret (``v1.<key>....``), as in the index."""


IS_SEALED = "secret <> ''"


IS_AUTHENTICATOR = sa.text("method = 'authenticator'")
"""Condition of the unique index: only authenticator apps can be enrolled repeatedly by a user, with distinct names."""


def key_index(name: str) -> sa.Index:
    """Return an index for finding the encryption keys in use without reading the rows."""
    sealed = sa.text(IS_SEALED)
    return sa.Index(name, sa.text(SEALED_UNDER), sqlite_where=sealed, postgresql_where=sealed)


class Enrollment(db.Model):
    """A sign-in method that a user has set up.

    A user has one row per method, except authenticator apps, which have one row each (``authenticators/totp``).

    ``secret`` is encrypted, and bound to this row, user and method. It decrypts to a base32 TOTP secret of 160 bits, or
    for a password to its argon2id hash (or an imported hash until its first use, see ``imported_hashes``).
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
    """The user's name for an authenticator app, "" by default. For a pending password, a digest of the browser."""
    last_step: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """The latest TOTP time step (30 seconds) that was used. Codes of this step and earlier ones are rejected."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that set it up, so that reporting that session removes it; None if it came with the account."""
    last_used_at: Mapped[datetime | None]
    is_second: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether it is required as a second factor."""
    weak_until: Mapped[datetime | None]
    """End of its cooldown. It is only as strong as an emailed code, since it was added after a weaker verification."""
    misses: Mapped[int] = mapped_column(default=0, server_default="0")
    """Consecutive wrong codes as a second factor."""
    signs_in: Mapped[bool | None]
    """Whether an authenticator app can be used alone to sign in. False if it was set up as a second factor, True if its
    owner chose to use it for both, None if it can as long as it isn't required as a second factor."""

    @property
    def is_pending(self) -> bool:
        """Whether this is a password that can't be used yet, because its browser hasn't verified the address."""
        return method_of(self.method).is_pending(self)

    def is_second_factor_only(self, *, uses_second_factors: bool) -> bool:
        """Return whether this is an authenticator app that can't be used alone to sign in.

        :param uses_second_factors: whether this service uses second factors at all (``LATCHKEY_SECOND_FACTOR``)
        """
        return method_of(self.method).is_second_factor_only(self, uses_second_factors=uses_second_factors)

    def in_cooldown(self, now: datetime) -> bool:
        """Return whether it is currently only as strong as an emailed code."""
        return self.weak_until is not None and now < self.weak_until


def has_second(user_id: sa.ColumnElement[int | None]) -> sa.ColumnElement[bool]:
    """Return an expression for whether the user has a required second factor, to select along with other columns."""
    asked = Enrollment.__table__.alias("asked")
    return sa.exists().where(asked.c.user_id == user_id, asked.c.is_second).label("has_second")
