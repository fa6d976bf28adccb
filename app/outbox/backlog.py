"""What waits for another try, where to, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog

from app import clock
from app.extensions import db
from app.outbox.models import WAITING, Message

log = structlog.get_logger()

SHOWN = 5
"""Destinations that are named, those with the most messages."""


_at: sa.Column[datetime] = Message.__table__.c.next_attempt_at


@dataclass(frozen=True, slots=True)
class WaitingSummary:
    """Messages to one destination that failed for one reason and will be tried again.

    :ivar next_at: when the first of them will be
    """

    destination: str
    reason: str
    count: int
    next_at: datetime


def parked(most: int = SHOWN) -> list[WaitingSummary]:
    """Return what is parked, the largest heaps first."""
    count = sa.func.count().label("count")
    statement = (
        sa.select(Message.destination, Message.last_error, count, sa.func.min(_at))
        .where(Message.state == WAITING, _at.is_not(None), Message.last_error != "")
        .group_by(Message.destination, Message.last_error)
        .order_by(count.desc())
        .limit(most)
    )
    return [WaitingSummary(*row) for row in db.session.execute(statement)]


def tell() -> None:
    """Log what is parked, a line for each heap."""
    for heap in parked():
        again = max(0.0, (heap.next_at - clock.now()).total_seconds())
        facts = {"destination": heap.destination, "messages": heap.count, "reason": heap.reason}
        log.warning("outbox.parked", **facts, next_try_in=round(again, 1))


def oldest_due() -> datetime | None:
    """Return since when the longest waiting message has been due; None when none is late."""
    is_late = Message.next_attempt_at <= clock.now()
    return db.session.scalar(sa.select(sa.func.min(Message.next_attempt_at)).where(is_late))
