"""Models of incoming webhooks: used signature tokens, and documents to fetch from Amazon SNS."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import db


class HookToken(db.Model):
    """A used signature token and the digest of its body. The token isn't accepted with any other body."""

    __tablename__ = "hook_token"

    token: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    body: Mapped[str] = mapped_column(sa.String(64))
    until: Mapped[datetime] = mapped_column(index=True)


class SnsDocument(db.Model):
    """An Amazon certificate, or a subscription to confirm. Fetched by the worker, never during a request."""

    __tablename__ = "sns_document"

    url: Mapped[str] = mapped_column(sa.String(1000), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    """``certificate`` or ``confirmation``."""
    body: Mapped[str] = mapped_column(sa.Text, default="")
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it is to be fetched next. While a worker is fetching it, the end of the worker's lease."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
