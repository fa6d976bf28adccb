"""Delete penalties and windows of the send limits that are over."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.db.retention import delete_batch
from app.extensions import db
from app.throttling.models import Penalty, SendWindow

COUNTED_FOR = timedelta(days=1)
"""The longest window of a send limit; a challenge counts for that long."""


def prune_penalties() -> int:
    """Delete a batch of penalties that are over; return how many."""
    return delete_batch(db.session, Penalty, Penalty.until < clock.now())


def prune_send_windows() -> int:
    """Delete a batch of windows of the send budget that are long over; return how many."""
    return delete_batch(db.session, SendWindow, SendWindow.began_at < clock.now() - 2 * COUNTED_FOR)
