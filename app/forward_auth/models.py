"""AppSession: who is signed in to a protected app. EntryTicket: what a browser takes there from the sign-in."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

MAX_HOST_LENGTH = 260
"""Maximum length of a host: a name of 253 characters, a colon and a port."""


class AppSession(db.Model):
    """A browser that is signed in to one app, with the digest of its cookie. It belongs to the user's session.

    It is valid while that session is: lookups check both.
    """

    __tablename__ = "app_session"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(sa.String(MAX_HOST_LENGTH))
    """Host of the app; for a cookie of a whole domain, that domain with a leading dot."""
    app: Mapped[str] = mapped_column(sa.String(64))
    """Its id in the apps file."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class EntryTicket(db.Model):
    """A one-time ticket from the sign-in to an app, for the browser that requested it there."""

    __tablename__ = "app_entry_ticket"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    binding: Mapped[str] = mapped_column(sa.String(64))
    """Digest of the secret that the browser keeps at the app's host."""
    session_id: Mapped[str] = mapped_column(sa.String(32))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(sa.String(MAX_HOST_LENGTH))
    expires_at: Mapped[datetime] = mapped_column(index=True)
