"""Cleanup jobs: which deliveries are abandoned or deleted, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db.retention import BATCH, delete_batch
from app.extensions import db, settings
from app.webhooks.models import ABANDONED, WebhookDelivery, WebhookEndpoint

OVERDUE = timedelta(days=5)
"""A delivery that has been due for this long, at a disabled endpoint, is abandoned."""

_d = WebhookDelivery.__table__
_deleted = WebhookEndpoint.deleted_at.is_not(None)


def prune_overdue() -> int:
    """Abandon a batch of deliveries that have long been due; return how many. A transaction of its own."""
    long_ago = clock.now() - OVERDUE
    overdue = (_d.c.at < long_ago, _d.c.next_attempt_at < long_ago)  # uses the index of the first
    ids = sa.select(_d.c.id).where(*overdue).limit(BATCH)
    abandoned = {"state": ABANDONED, "next_attempt_at": None, "last_error": "endpoint disabled for too long"}
    statement = sa.update(_d).where(_d.c.id.in_(ids), *overdue).values(abandoned)
    done: Any = db.session.execute(statement.execution_options(synchronize_session=False, autocommit=True))
    return int(done.rowcount)


def prune_deliveries() -> int:
    """Delete a batch of settled deliveries of events older than ``LATCHKEY_WEBHOOKS_KEEP``; return how many."""
    old = WebhookDelivery.at < clock.now() - settings.webhooks_keep
    return delete_batch(db.session, WebhookDelivery, old & WebhookDelivery.next_attempt_at.is_(None))


def prune_deliveries_to_deleted() -> int:
    """Delete a batch of deliveries to deleted endpoints; return how many."""
    is_to_deleted = WebhookDelivery.endpoint_id.in_(sa.select(WebhookEndpoint.id).where(_deleted))
    return delete_batch(db.session, WebhookDelivery, is_to_deleted)


def prune_deleted_endpoints() -> int:
    """Delete a batch of deleted endpoints that have no deliveries left; return how many."""
    empty = sa.not_(sa.exists().where(WebhookDelivery.endpoint_id == WebhookEndpoint.id))
    return delete_batch(db.session, WebhookEndpoint, _deleted & empty)
