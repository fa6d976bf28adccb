"""Who may send a message now. Each change is one conditional statement, so that exactly one worker wins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from app.database.plain import Plain
from app.extensions import db
from app.kit import clock
from app.outbox.models import ABANDONED, SENDING, WAITING, Message

LEASE = timedelta(seconds=60)
"""How long a claimed message is left to its worker: well over the longest try. After a crash it is due again."""

GRACE = timedelta(seconds=1)
"""How long a message may be due before the sweep thinks that its queue entry was lost."""


_ROWS = Plain(Message)
_message = Message.__table__
_is_due = _message.c.next_attempt_at <= sa.bindparam("now")
_free = (
    sa.select(_message.c.id)
    .where(_message.c.id.in_(sa.bindparam("ids", expanding=True)), _is_due)
    .order_by(_message.c.id)
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    sa.update(_message)
    .where(_message.c.id.in_(_free), _is_due)
    .values(
        state=SENDING,
        attempts=_message.c.attempts + 1,
        lease_until=sa.bindparam("lease"),
        next_attempt_at=sa.bindparam("lease"),
    )
    .returning(*_message.c)
    .execution_options(at_once=True)
)
_DUE = sa.select(_message.c.id, _message.c.channel, _message.c.to).where(_is_due).order_by(_message.c.next_attempt_at)


def claim(ids: Sequence[str]) -> list[Message]:
    """Take the due ones of these messages for this worker and return them, in the order they were written.

    Commits by itself. What another worker holds, or what is settled, is left out.
    """
    now = clock.now()
    rows = db.session.execute(_CLAIM, {"ids": list(ids), "now": now, "lease": now + LEASE}).all()
    db.session.close()  # no connection is held while a mail server thinks
    claimed: list[Message] = [message for row in rows for message in _ROWS.read(row)]
    return sorted(claimed, key=lambda message: message.created_at)


def due(limit: int, grace: timedelta = GRACE) -> list[tuple[str, str, str]]:
    """Return id, channel and recipient of messages that have been due for a while (``grace``), longest first.

    Their queue entry was lost, or their worker.
    """
    return [(row[0], row[1], row[2]) for row in db.session.execute(_DUE.limit(limit), {"now": clock.now() - grace})]


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
