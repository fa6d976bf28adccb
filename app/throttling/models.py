"""Penalty, SendWindow and FailureCounter."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import BrowserName
from app.extensions import db


class Penalty(db.Model):
    """A network address from which a request came that the account's owner reported."""

    __tablename__ = "penalty"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """The address, or the /64 of an IPv6 one."""
    until: Mapped[datetime]
    """In no index: while few are stopped PostgreSQL would find one of them by it, and keep that plan."""


class SendWindow(db.Model):
    """How much the whole service has sent since a window began; or since when a breaker is open."""

    __tablename__ = "send_window"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    """Its name: ``mail``, ``sms``, or ``stopped:`` and a country or range of numbers."""
    began_at: Mapped[datetime] = mapped_column(index=True)
    count: Mapped[int]


class FailureCounter(db.Model):
    """Attempts at an account that failed of late: by one known device, or by all other browsers together.

    They are counted in windows of an hour and of a day, which begin with a failure (``by_account``). An identity that
    nobody has gets a row like anybody's. The row of a known device is also its record: ``KnownDevice``
    (``app/sessions/models.py``).
    """

    __tablename__ = "standing"
    __table_args__ = (sa.Index("ix_standing_user_id_browser", "user_id", "browser"),)

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """A digest of whose it is and who fails: ``by_account.row_id``."""
    user_id: Mapped[int | None]
    """No foreign key: nobody has nothing to check (ADR 15). It goes with its user."""
    failed_at: Mapped[datetime | None]
    """When an attempt was last counted."""
    hour_began_at: Mapped[datetime | None]
    hour_count: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    hour_before: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    """Failures since the hour began; and in the hour before, if that ended less than an hour after its last one."""
    day_began_at: Mapped[datetime | None]
    day_count: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    day_before: Mapped[int] = mapped_column(sa.SmallInteger, server_default="0")
    """The same of a day."""
    in_a_row: Mapped[int] = mapped_column(default=0)
    """Failures since the account was last signed in to."""
    touched_at: Mapped[datetime]
    """In no index, as all that each attempt changes: what is old is found by going through the table (``Walk``)."""
    failures: Mapped[str] = mapped_column(sa.Text, default="")
    """Written by the release before, and by no other (migration 0041)."""

    browser: Mapped[str] = mapped_column(sa.String(64), default="")
    """Of a known device, as what follows: digest of the secret in its cookie; "" for all other browsers."""
    first_seen_at: Mapped[datetime | None]
    """When its user first signed in there; None for all other browsers."""
    last_seen_at: Mapped[datetime | None]
    """When its user last signed in there, to the day."""
    agent: Mapped[str] = mapped_column(BrowserName, default="")
    revoked_at: Mapped[datetime | None]
    trusted_until: Mapped[datetime | None]
    """Until when the account's second factor is skipped there."""
