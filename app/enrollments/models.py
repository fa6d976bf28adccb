"""Enrollment: an authenticator that a user has set up."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.enrollments.catalog import method_of
from app.extensions import db

SEALED_UNDER = "substr(secret, 4, 8)"
"""The id of the key under which a row's secret is sealed (``v1.<key>....``), as its index has it."""


IS_SEALED = "secret <> ''"


IS_AUTHENTICATOR = sa.text("method = 'authenticator'")
"""Authenticator apps alone may be several of one user, told apart by name."""


def key_index(name: str) -> sa.Index:
    """Return the index by which the keys in use are found without reading the rows."""
    sealed = sa.text(IS_SEALED)
    return sa.Index(name, sa.text(SEALED_UNDER), sqlite_where=sealed, postgresql_where=sealed)


class Enrollment(db.Model):
    """A way in that a user has set up. The secret is sealed to this row, user and method.

    A user has one row of each method, but a row for each authenticator app (``authenticators/totp_apps``).

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
    session_id: Mapped[str | None] = mapped_column("family", sa.String(32), key="session_id")
    """The session that set it up, so that denying that session takes it back; None for what came with the account."""
    last_used_at: Mapped[datetime | None]
    is_second: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether it is asked for as a second step, after another proof."""
    weak_until: Mapped[datetime | None]
    """Until when it counts no more than a mailed code, because no more than that added it (``cooldown``)."""
    misses: Mapped[int] = mapped_column(default=0, server_default="0")
    """Wrong codes of this authenticator in a row as a second step."""
    signs_in: Mapped[bool | None]
    """Whether an authenticator is a way to sign in by itself: False for one that was set up as a second step, True for
    one that is both because its owner said so, None for one that is while it is not asked for as a second step."""

    @property
    def is_pending(self) -> bool:
        """Whether this is a password that waits for its browser to prove the address; until then it opens nothing."""
        return method_of(self.method).is_pending(self)

    def is_second_alone(self, *, asked: bool) -> bool:
        """Whether this is an authenticator that signs nobody in by itself.

        :param asked: whether anybody is asked for a second step here (``LATCHKEY_SECOND_FACTOR``)
        """
        return method_of(self.method).is_second_alone(self, asked=asked)

    def in_cooldown(self, now: datetime) -> bool:
        """Whether it counts no more than a mailed code at this time."""
        return self.weak_until is not None and now < self.weak_until


def has_second(user_id: sa.ColumnElement[int | None]) -> sa.ColumnElement[bool]:
    """Return the expression that says whether this user is asked for a second step, for statements to carry along."""
    asked = Enrollment.__table__.alias("asked")
    return sa.exists().where(asked.c.user_id == user_id, asked.c.is_second).label("has_second")
