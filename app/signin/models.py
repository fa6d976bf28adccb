"""SentLink: a one-time sign-in link sent by an administrator."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.extensions import db


class SentLink(db.Model):
    """A link that an administrator sent to an account's own email. The token is signed, so it isn't stored."""

    __tablename__ = "sent_link"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    email: Mapped[str] = mapped_column(sa.String(254))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    """When it was used or replaced by another one."""
