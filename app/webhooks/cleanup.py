"""Which deliveries are deleted, and when."""

from __future__ import annotations

from app import clock
from app.db.retention import delete_batch
from app.extensions import db, settings
from app.webhooks import delivery
from app.webhooks.models import WebhookDelivery


def prune_deliveries() -> int:
    """Give up a batch that has been due for too long, or delete one that is over; return how many.

    Kept for ``LATCHKEY_WEBHOOKS_KEEP``.
    """
    if given_up := delivery.give_up_overdue():
        return given_up
    old = WebhookDelivery.at < clock.now() - settings.webhooks_keep
    return delete_batch(db.session, WebhookDelivery, old & WebhookDelivery.next_attempt_at.is_(None))
