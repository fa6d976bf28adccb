"""Recovery rows: found, started, ended. The database decides which of two ends wins."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.client import ClientContext
from app.crypto import secrets
from app.db.retention import delete_batch
from app.extensions import changed, db, settings
from app.recovery.models import Recovery

STAYS_FOR = timedelta(days=7)
"""How long one can be completed once its wait is over."""

COUNTED_FOR = timedelta(days=30)
"""``LATCHKEY_RECOVERY_STARTS`` counts so far back."""

REMINDED_BEFORE = timedelta(hours=24)
"""So long before it is ready every channel is told once more."""

_c = Recovery.__table__.c


def _open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (_c.cancelled_at.is_(None), _c.done_at.is_(None), _c.expires_at > now)


def open_of(user_id: int) -> Recovery | None:
    """Return the user's recovery that is neither over nor ended. One statement."""
    found = sa.select(Recovery).where(_c.user_id == user_id, *_open(clock.now())).order_by(_c.requested_at.desc())
    return db.session.scalars(found.limit(1).execution_options(populate_existing=True)).first()


def find(recovery_id: str) -> Recovery | None:
    """Return the recovery with this id, whatever became of it."""
    found = sa.select(Recovery).where(_c.id == recovery_id).execution_options(populate_existing=True)
    return db.session.scalars(found).first()


def started_lately(user_id: int) -> int:
    """Return how many recoveries of this account were started in the last 30 days."""
    lately = (_c.user_id == user_id, _c.requested_at > clock.now() - COUNTED_FOR)
    return db.session.scalar(sa.select(sa.func.count()).select_from(Recovery).where(*lately)) or 0


def started_by(challenge_id: str) -> Recovery | None:
    """Return the open recovery that the answer to this challenge has started."""
    found = sa.select(Recovery).where(_c.challenge_id == challenge_id, *_open(clock.now()))
    return db.session.scalars(found.execution_options(populate_existing=True)).first()


def start(user_id: int, challenge_id: str, client: ClientContext) -> Recovery:
    """Start one, by this proof of the mailbox. The caller holds the user's row, and has seen that none is open."""
    now = clock.now()
    ready_at = now + settings.recovery_wait
    row = Recovery(id=secrets.row_id(), user_id=user_id, requested_at=now, ready_at=ready_at)
    row.challenge_id = challenge_id
    row.expires_at = ready_at + STAYS_FOR
    row.address, row.agent = client.ip_address, client.user_agent
    db.session.add(row)
    db.session.flush()
    return row


def cancel(recovery_id: str) -> bool:
    """Cancel an open recovery; False when it is over, or was completed first."""
    now = clock.now()
    return changed(sa.update(Recovery).where(_c.id == recovery_id, *_open(now)).values(cancelled_at=now)) == 1


def complete(recovery_id: str) -> bool:
    """Note that an open recovery whose wait is over is done; False when it was cancelled first, or is not ready."""
    now = clock.now()
    ready = (_c.id == recovery_id, _c.ready_at <= now, *_open(now))
    return changed(sa.update(Recovery).where(*ready).values(done_at=now)) == 1


def is_long(wait: timedelta) -> bool:
    """Say whether a reminder comes a day before the end of ``wait``; for a short one the first message is enough."""
    return wait >= 2 * REMINDED_BEFORE


def due_for_reminding(most: int) -> list[Recovery]:
    """Return open recoveries that will be ready within a day and that nobody has looked at for that yet."""
    now = clock.now()
    soon = (_c.ready_at <= now + REMINDED_BEFORE, _c.reminded_at.is_(None), *_open(now))
    return list(db.session.scalars(sa.select(Recovery).where(*soon).limit(most)))


def note_reminded(recovery_id: str) -> bool:
    """Note that the owner was reminded if need be; False when another worker was first, or it is over."""
    now = clock.now()
    unreminded = (_c.id == recovery_id, _c.reminded_at.is_(None), *_open(now))
    return changed(sa.update(Recovery).where(*unreminded).values(reminded_at=now)) == 1


def prune_recoveries() -> int:
    """Delete a batch of recoveries that are over and that nothing counts any more; return how many."""
    return delete_batch(db.session, Recovery, _c.expires_at < clock.now() - COUNTED_FOR)


def state_of(recovery: Recovery) -> str:
    """Return ``open``, ``cancelled``, ``done`` or ``expired``."""
    if recovery.cancelled_at is not None:
        return "cancelled"
    if recovery.done_at is not None:
        return "done"
    return "open" if recovery.expires_at > clock.now() else "expired"
