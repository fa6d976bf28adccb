"""Recovery rows: found, started, ended; the database decides which of two ends wins. And their two sealed tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.client import ClientContext
from app.crypto import secrets
from app.crypto.signed_tokens import SealedToken
from app.db.retention import delete_batch
from app.extensions import changed, db, keyring, settings
from app.recovery.models import Recovery

STAYS_FOR = timedelta(days=7)
"""How long one can be completed once its wait is over."""

COUNTED_FOR = timedelta(days=30)
"""``LATCHKEY_RECOVERY_STARTS`` counts so far back."""

REMINDED_BEFORE = timedelta(hours=24)
"""So long before it is ready every channel is told once more."""

PROOF = SealedToken(("recover", "proof"))
PROVED_FOR = timedelta(minutes=10)
"""How long after its code a mailbox counts as proved here."""

CANCEL = SealedToken(("recover", "cancel"))  # for as long as the recovery is open
CANCEL_PATH = "/recover/cancel/"

_c = Recovery.__table__.c


@dataclass(frozen=True, slots=True)
class Proved:
    """Whose mailbox was proved, and by which challenge."""

    user_id: int
    challenge_id: str


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


def proof_of(user_id: int, challenge_id: str) -> str:
    """Return what says for ten minutes that this user's mailbox was proved. It starts and completes, no more."""
    until = int((clock.now() + PROVED_FOR).timestamp())
    return PROOF.seal(keyring, str(user_id), challenge_id, str(until))


def read_proof(token: str) -> Proved | None:
    """Return what ``token`` proves, or None when it is none of ours or too old."""
    fields = PROOF.open(keyring, token)
    if fields is None:
        return None
    user_id, challenge_id, until = fields
    return Proved(int(user_id), challenge_id) if int(until) > clock.unix() else None


def cancel_link(recovery: Recovery) -> str:
    """Return the address at which ``recovery`` is cancelled, from any browser, for as long as it is open."""
    return settings.origin + CANCEL_PATH + CANCEL.seal(keyring, recovery.id)


def read_cancel(token: str) -> str | None:
    """Return the id of the recovery that ``token`` cancels, or None when it is none of ours."""
    fields = CANCEL.open(keyring, token)
    return fields[0] if fields else None
