"""Delete penalties, windows of the send limits and failures that count no more."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db.retention import delete_batch
from app.extensions import db
from app.throttling.models import FailureCounter, Penalty, SendWindow

COUNTED_FOR = timedelta(days=1)
"""The longest window of a send limit; a challenge counts for that long."""

FAILURES_COUNT_FOR = timedelta(days=1)
"""After the last one."""

DECOYS_KEPT_FOR = timedelta(days=30)
"""Counters of identities without an account."""


def prune_penalties() -> int:
    """Delete a batch of penalties that are over; return how many."""
    return delete_batch(db.session, Penalty, Penalty.until < clock.now())


def prune_send_windows() -> int:
    """Delete a batch of windows of the send budget that are long over; return how many."""
    return delete_batch(db.session, SendWindow, SendWindow.began_at < clock.now() - 2 * COUNTED_FOR)


def prune_failure_counters() -> int:
    """Delete a batch of counters that no limit reads any more; return how many."""
    unneeded = sa.and_(FailureCounter.first_seen_at.is_(None), FailureCounter.in_a_row == sa.literal_column("0"))
    over = FailureCounter.touched_at < clock.now() - FAILURES_COUNT_FOR
    return delete_batch(db.session, FailureCounter, sa.and_(unneeded, over))


def prune_decoy_counters() -> int:
    """Delete a batch of counters of identities without an account, after a month; return how many."""
    over = FailureCounter.touched_at < clock.now() - DECOYS_KEPT_FOR
    return delete_batch(db.session, FailureCounter, sa.and_(FailureCounter.user_id.is_(None), over))
