"""WebhookEndpoint: where events are posted. WebhookDelivery: one event for one endpoint."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.db import partial_index
from app.extensions import db

WAITING = "waiting"
SENDING = "sending"
SENT = "sent"
ABANDONED = "abandoned"
STATES = (WAITING, SENDING, SENT, ABANDONED)

MAX_URL_LENGTH = 2000
"""Maximum length of a URL."""

MAX_REASON_LENGTH = 80


class WebhookEndpoint(db.Model):
    """A URL of the operator's that events are posted to, and the secret that signs them.

    Both secrets are sealed. ``old_secret`` also signs until ``old_secret_until``; it is "" if there is none.
    """

    __tablename__ = "webhook_endpoint"
    __table_args__ = (partial_index("ix_webhook_endpoint_deleted", "deleted_at IS NOT NULL", "id"),)

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    url: Mapped[str] = mapped_column(sa.String(MAX_URL_LENGTH))
    patterns: Mapped[str] = mapped_column(sa.Text)
    """Events it gets: types, ``session.*`` or ``*``, one per line."""
    secret: Mapped[str] = mapped_column(sa.Text)
    old_secret: Mapped[str] = mapped_column(sa.Text, default="")
    old_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    """The row is kept, disabled and emptied, until a worker has deleted its deliveries, which may be many."""
    disabled_reason: Mapped[str] = mapped_column(sa.String(16), default="")
    """``operator``, ``gone`` (it answered 410) or ``failing``; "" while it is enabled."""
    failures: Mapped[int] = mapped_column(default=0)
    """Failed attempts since the last successful one."""
    failing_since: Mapped[datetime | None]
    rests_until: Mapped[datetime | None]
    """Until when nothing is posted there."""
    last_error: Mapped[str] = mapped_column(sa.String(MAX_REASON_LENGTH), default="")
    last_sent_at: Mapped[datetime | None]

    @property
    def pattern_list(self) -> list[str]:
        """Events it gets."""
        return self.patterns.split("\n")


class WebhookDelivery(db.Model):
    """An event that is posted to an endpoint. Its row is written in the transaction of the event.

    ``next_attempt_at`` alone says when it is due, and is NULL once it is settled. While a worker is sending, it is the
    end of that worker's lease.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        partial_index("ix_webhook_delivery_due", "next_attempt_at IS NOT NULL", "endpoint_id", "next_attempt_at"),
        partial_index("ix_webhook_delivery_abandoned", "state = 'abandoned'", "endpoint_id", "id"),
        sa.Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(sa.String(40), index=True)
    """The ``webhook-id``. It belongs to the event, so it is the same at every endpoint and attempt."""
    type: Mapped[str] = mapped_column(sa.String(48))
    at: Mapped[datetime] = mapped_column(index=True)
    """When it happened."""
    subject: Mapped[str | None] = mapped_column(sa.String(32))
    """Handle of the account that it is about."""
    user_id: Mapped[int | None] = mapped_column(index=True)
    """The account. No foreign key (ADR 15). Set to NULL by a trigger when the account is deleted."""
    is_forgotten: Mapped[bool] = mapped_column(default=False)
    """The account is deleted, so the row is deleted as soon as it is settled."""
    support_id: Mapped[str] = mapped_column(sa.String(16))
    facts: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(sa.String(16), default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    """Status of the last response; NULL if there was none."""
    last_error: Mapped[str] = mapped_column(sa.String(MAX_REASON_LENGTH), default="")
