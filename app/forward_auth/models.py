"""AppSession: who is signed in at a protected app. EntryTicket: what a browser brings there from the sign-in."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

HOST = 260
"""Characters of a host at most: a name of 253, a colon and a port."""


class AppSession(db.Model):
    """A browser that is signed in at one app, with the digest of its cookie there. It hangs on the person's session.

    Valid while that is: a statement that looks it up looks at both.
    """

    __tablename__ = "app_session"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(sa.String(HOST))
    """Of the app; for the cookie of a whole domain, that domain with a dot before it."""
    app: Mapped[str] = mapped_column(sa.String(64))
    """Its id in the apps file."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class EntryTicket(db.Model):
    """A one-time ticket from the sign-in to an app, for the browser that asked for it there."""

    __tablename__ = "app_entry_ticket"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    binding: Mapped[str] = mapped_column(sa.String(64))
    """Digest of the secret that the browser has kept at the app's host."""
    session_id: Mapped[str] = mapped_column(sa.String(32))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(sa.String(HOST))
    expires_at: Mapped[datetime] = mapped_column(index=True)
