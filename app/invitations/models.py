"""Invitation and InvitationUse."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.extensions import db

MAX_GROUPS_LENGTH = 1024


class Invitation(db.Model):
    """What a link invites to. The link is signed, so it isn't stored."""

    __tablename__ = "invitation"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    email: Mapped[str] = mapped_column(sa.String(254), default="")
    """Where the link was mailed to; "" for an open invitation, which an administrator shares."""
    groups: Mapped[str] = mapped_column(sa.String(MAX_GROUPS_LENGTH), default="")
    """Comma-separated names of the groups that an account joins by accepting it."""
    uses: Mapped[int] = mapped_column(default=1)
    used: Mapped[int] = mapped_column(default=0)
    language: Mapped[str] = mapped_column(sa.String(16))
    created_by: Mapped[str] = mapped_column(sa.String(64))
    """``operator`` on the command line, or ``admin:`` and the handle of the administrator."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]

    @property
    def group_names(self) -> list[str]:
        """Names of the groups that an account joins by accepting it."""
        return [name for name in self.groups.split(",") if name]


class InvitationUse(db.Model):
    """An account's acceptance of an invitation, which may be waiting for its email to be confirmed."""

    __tablename__ = "invitation_use"

    invitation_id: Mapped[str] = mapped_column(sa.ForeignKey("invitation.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    accepted_at: Mapped[datetime | None]
    """When it was counted; None until then."""
