"""Recovery: regaining an account with its mailbox alone, after a wait."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.crypto import secrets
from app.db import BrowserName
from app.extensions import db


class Recovery(db.Model):
    """A recovery of an account: it waits until ``ready_at``, and is canceled, completed, or expires."""

    __tablename__ = "recovery"
    __table_args__ = (sa.Index("ix_recovery_user_id_requested_at", "user_id", "requested_at"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"))
    requested_at: Mapped[datetime] = mapped_column(index=True)
    ready_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    reminded_at: Mapped[datetime | None]
    """When the owner was reminded, a day before the recovery is ready."""
    cancelled_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    challenge_id: Mapped[str | None] = mapped_column(sa.String(32))
    """The code that verified the mailbox at the start; reporting its email cancels the recovery. None in old rows."""
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str] = mapped_column(BrowserName)

    def is_ready(self, now: datetime) -> bool:
        """Return whether the wait is over."""
        return self.ready_at <= now
