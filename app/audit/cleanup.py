"""Delete events older than ``LATCHKEY_EVENTS_KEEP``."""

from __future__ import annotations

from app import clock
from app.audit.models import Event
from app.db.retention import delete_batch
from app.extensions import db, settings


def prune_events() -> int:
    """Delete a batch of events older than ``LATCHKEY_EVENTS_KEEP``; return how many."""
    return delete_batch(db.session, Event, Event.at < clock.now() - settings.events_keep)
