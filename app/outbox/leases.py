"""Who may send a message now. Each change is one conditional statement, so that exactly one worker wins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from app.extensions import db
from app.kit import clock
from app.outbox.models import ABANDONED, SENDING, WAITING, Message

LEASE = timedelta(seconds=60)
"""How long a claimed message is left to its worker: well over the longest try. After a crash it is due again."""

GRACE = timedelta(seconds=1)
"""How long a message may be due before the sweep thinks that its queue entry was lost."""


def claim(ids: Sequence[str]) -> list[Message]:
    """Take the due ones of these messages for this worker and return them, in the order they were written.

    Commits by itself. What another worker holds, or what is settled, is left out.
    """
    now = clock.now()
    lease = now + LEASE
    due = sa.and_(Message.id.in_(ids), Message.next_attempt_at <= now)
    free = sa.select(Message.id).where(due).order_by(Message.id).with_for_update(skip_locked=True)
    statement = (
        sa.update(Message)
        .where(Message.id.in_(free), Message.next_attempt_at <= now)
        .values(state=SENDING, attempts=Message.attempts + 1, lease_until=lease, next_attempt_at=lease)
        .returning(Message)
        .execution_options(synchronize_session=False, populate_existing=True, at_once=True)
    )
    claimed = list(db.session.scalars(statement))
    db.session.close()  # the rows stay readable; no connection is held while a mail server thinks
    return sorted(claimed, key=lambda message: message.created_at)


def due(limit: int) -> list[Message]:
    """Return messages that have been due for a while, longest first: their queue entry was lost, or their worker."""
    late = Message.next_attempt_at <= clock.now() - GRACE
    return list(db.session.scalars(sa.select(Message).where(late).order_by(Message.next_attempt_at).limit(limit)))


def retry(ids: Sequence[str] | None) -> list[Message]:
    """Make abandoned messages (all of them for None) due again from their first attempt; return those still worth it.

    The caller commits.
    """
    now = clock.now()
    alive = sa.or_(Message.expires_at.is_(None), Message.expires_at > now)
    wanted = [Message.state == ABANDONED, alive]
    if ids is not None:
        wanted.append(Message.id.in_(ids))
    fresh = {"state": WAITING, "attempts": 0, "next_attempt_at": now, "last_error": ""}
    options = {"synchronize_session": False, "populate_existing": True}
    statement = sa.update(Message).where(*wanted).values(fresh).returning(Message).execution_options(**options)
    return list(db.session.scalars(statement))


def prune(keep: timedelta, most: int = 1000) -> int:
    """Delete messages that were settled and written longer than ``keep`` ago, at most so many; return how many."""
    old = Message.created_at < clock.now() - keep
    ids = sa.select(Message.id).where(old, Message.next_attempt_at.is_(None)).order_by(Message.created_at).limit(most)
    statement = sa.delete(Message).where(Message.id.in_(ids)).execution_options(synchronize_session=False, at_once=True)
    return cast("sa.CursorResult[Any]", db.session.execute(statement)).rowcount


def oldest_due() -> datetime | None:
    """Return since when the longest waiting message has been due; None when none is late."""
    late = Message.next_attempt_at <= clock.now()
    return db.session.scalar(sa.select(sa.func.min(Message.next_attempt_at)).where(late))
