"""HookToken and SnsDocument."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import db


class HookToken(db.Model):
    """That the token of a signature was used, and with which body: no other one may come with it."""

    __tablename__ = "hook_token"

    token: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    body: Mapped[str] = mapped_column(sa.String(64))
    until: Mapped[datetime] = mapped_column(index=True)


class SnsDocument(db.Model):
    """A certificate of Amazon's, or a subscription to confirm: what the worker fetches, as no request does."""

    __tablename__ = "sns_document"

    url: Mapped[str] = mapped_column(sa.String(1000), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    """``certificate`` or ``confirmation``."""
    body: Mapped[str] = mapped_column(sa.Text, default="")
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it is fetched next; at first the end of a worker's lease while that fetches it."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
