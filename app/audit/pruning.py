"""Forget events that are older than the operator keeps them."""

from __future__ import annotations

from app.audit.models import Event
from app.database.pruning import delete_batch, pruner
from app.extensions import db, settings
from app.kit import clock


@pruner
def prune_events() -> int:
    """Delete a batch of events older than ``LATCHKEY_EVENTS_KEEP``; return how many."""
    return delete_batch(db.session, Event, Event.at < clock.now() - settings.events_keep)
