"""Delete penalties and windows of the send limits that are over; which failures count no more."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db.retention import Walk, delete_batch
from app.extensions import db
from app.throttling.models import FailureCounter, Penalty, SendWindow

COUNTED_FOR = timedelta(days=1)
"""The longest window of a send limit; a challenge counts for that long."""

FAILURES_COUNT_FOR = timedelta(days=1)
"""After the last one."""

DECOYS_KEPT_FOR = timedelta(days=30)
"""Counters of identities without an account."""

_PENALTIES = Walk(Penalty)


def prune_penalties() -> int:
    """Delete a batch of penalties that are over; return how many."""
    return _PENALTIES.delete_batch(db.session, Penalty.until < clock.now())


def prune_send_windows() -> int:
    """Delete a batch of windows of the send budget that are long over; return how many."""
    return delete_batch(db.session, SendWindow, SendWindow.began_at < clock.now() - 2 * COUNTED_FOR)


def is_unneeded(now: datetime) -> sa.ColumnElement[bool]:
    """Return what holds for failure counters that no limit reads any more; nobody's goes after a month in any case.

    They are deleted with the known devices, whose table is theirs.
    """
    c = FailureCounter
    settled = sa.and_(c.first_seen_at.is_(None), c.in_a_row == 0, c.touched_at < now - FAILURES_COUNT_FOR)
    return sa.or_(settled, sa.and_(c.user_id.is_(None), c.touched_at < now - DECOYS_KEPT_FOR))
