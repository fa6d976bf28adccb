"""Models of rate limiting: penalties, send windows and failure counters."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import BrowserName
from app.extensions import db


class Penalty(db.Model):
    """A network address that sent a request which the account's owner reported."""

    __tablename__ = "penalty"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """The address, or the /64 of an IPv6 address."""
    until: Mapped[datetime]
    """Not indexed: with few rows, PostgreSQL would use this index to find one by id, and keep that plan."""


class SendWindow(db.Model):
    """Number of messages counted since a window started, or when a circuit breaker opened."""

    __tablename__ = "send_window"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    """Such as ``mail`` or ``sms`` for a service budget, ``asked:hour:`` and a digest of the destination, or
    ``stopped:`` and a country or number range."""
    began_at: Mapped[datetime] = mapped_column(index=True)
    count: Mapped[int]


class FailureCounter(db.Model):
    """Recent failed attempts at an account, by one known device or by all other browsers together.

    They are counted in windows of an hour and a day that start with a failure (``by_account``). Identities without an
    account get rows as well. The row of a known device doubles as its record: ``KnownDevice``
    (``app/sessions/models.py``).
    """

    __tablename__ = "standing"
    __table_args__ = (sa.Index("ix_standing_user_id_browser", "user_id", "browser"),)

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Digest of account and caller: ``by_account.row_id``."""
    user_id: Mapped[int | None]
    """Not a foreign key, whose check would only run for known accounts (ADR 15). Deleted along with the user."""
    failed_at: Mapped[datetime | None]
    """When an attempt was last counted."""
    hour_began_at: Mapped[datetime | None]
    hour_count: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    hour_before: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    """Failures since the window started, and in the previous one if its last was less than an hour before that."""
    day_began_at: Mapped[datetime | None]
    day_count: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    day_before: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    """The same for a day."""
    in_a_row: Mapped[int] = mapped_column(default=0)
    """Consecutive failures since the last successful sign-in."""
    touched_at: Mapped[datetime]
    """Not indexed, like everything each attempt changes. Old rows are found by scanning the table (``Walk``)."""
    failures: Mapped[str] = mapped_column(sa.Text, default="")
    """Only written by the previous release (migration 0041)."""

    browser: Mapped[str] = mapped_column(sa.String(64), default="")
    """For a known device, like the columns below: digest of the secret in its cookie. "" for all other browsers."""
    first_seen_at: Mapped[datetime | None]
    """When the user first signed in there; None for all other browsers."""
    last_seen_at: Mapped[datetime | None]
    """When the user last signed in there, to the day."""
    agent: Mapped[str] = mapped_column(BrowserName, default="")
    revoked_at: Mapped[datetime | None]
    trusted_until: Mapped[datetime | None]
    """Until when the second factor is skipped there."""
