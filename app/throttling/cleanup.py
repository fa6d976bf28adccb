"""Delete expired penalties and send windows, and define which failure counters can be deleted."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db.retention import Walk, delete_batch
from app.extensions import db
from app.throttling.models import FailureCounter, Penalty, SendWindow

COUNTED_FOR = timedelta(days=1)
"""Longest window of a send limit, and how long a challenge counts toward it."""

FAILURES_COUNT_FOR = timedelta(days=1)
"""How long failures count after the last one."""

KEEP_DECOYS_FOR = timedelta(days=30)
"""How long counters of identities without an account are kept."""

_PENALTIES = Walk(Penalty)


def prune_penalties() -> int:
    """Delete a batch of expired penalties; return how many."""
    return _PENALTIES.delete_batch(db.session, Penalty.until < clock.now())


def prune_send_windows() -> int:
    """Delete a batch of send windows that ended long ago; return how many."""
    return delete_batch(db.session, SendWindow, SendWindow.began_at < clock.now() - 2 * COUNTED_FOR)


def is_unneeded(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition for failure counters that no limit needs. Those without an account go after a month anyway.

    They are deleted together with known devices, which share the table.
    """
    c = FailureCounter
    is_reset = sa.and_(c.first_seen_at.is_(None), c.in_a_row == 0, c.touched_at < now - FAILURES_COUNT_FOR)
    return sa.or_(is_reset, sa.and_(c.user_id.is_(None), c.touched_at < now - KEEP_DECOYS_FOR))
