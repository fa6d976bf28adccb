"""Recovery rows and their tokens. A conditional UPDATE ensures that a recovery is either canceled or completed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.client import ClientContext
from app.crypto import secrets
from app.crypto.signed_tokens import SealedToken
from app.db.retention import delete_batch
from app.extensions import db, execute_update, keyring, settings
from app.recovery.models import Recovery

OPEN_FOR = timedelta(days=7)
"""How long a recovery can be completed after its wait is over."""

COUNTED_FOR = timedelta(days=30)
"""Sliding window of the limit ``LATCHKEY_RECOVERY_STARTS``."""

REMIND_BEFORE = timedelta(hours=24)
"""How long before a recovery is ready every channel gets a reminder."""

PROOF = SealedToken(("recover", "proof"))
PROOF_LIFETIME = timedelta(minutes=10)
"""How long a mailbox counts as verified after its code was entered."""

CANCEL = SealedToken(("recover", "cancel"))  # for as long as the recovery is open
CANCEL_PATH = "/recover/cancel/"

_c = Recovery.__table__.c


@dataclass(frozen=True, slots=True)
class VerifiedMailbox:
    """The user whose mailbox was verified, and the challenge that verified it."""

    user_id: int
    challenge_id: str


def open_of(user_id: int) -> Recovery | None:
    """Return the user's open recovery, if there is one. One statement."""
    found = sa.select(Recovery).where(_c.user_id == user_id, *_open(clock.now())).order_by(_c.requested_at.desc())
    return db.session.scalars(found.limit(1).execution_options(populate_existing=True)).first()


def find(recovery_id: str) -> Recovery | None:
    """Return the recovery with this ID, in any state."""
    found = sa.select(Recovery).where(_c.id == recovery_id).execution_options(populate_existing=True)
    return db.session.scalars(found).first()


def count_recent(user_id: int) -> int:
    """Return how many recoveries of this account were started in the last 30 days."""
    lately = (_c.user_id == user_id, _c.requested_at > clock.now() - COUNTED_FOR)
    return db.session.scalar(sa.select(sa.func.count()).select_from(Recovery).where(*lately)) or 0


def started_by(challenge_id: str) -> Recovery | None:
    """Return the open recovery that this challenge started."""
    found = sa.select(Recovery).where(_c.challenge_id == challenge_id, *_open(clock.now()))
    return db.session.scalars(found.execution_options(populate_existing=True)).first()


def start(user_id: int, challenge_id: str, client: ClientContext) -> Recovery:
    """Start a recovery with the challenge that verified the mailbox.

    The caller must hold a lock on the user's row and have checked that none is open.
    """
    now = clock.now()
    ready_at = now + settings.recovery_wait
    row = Recovery(id=secrets.row_id(), user_id=user_id, requested_at=now, ready_at=ready_at)
    row.challenge_id = challenge_id
    row.expires_at = ready_at + OPEN_FOR
    row.address, row.agent = client.ip_address, client.user_agent
    db.session.add(row)
    db.session.flush()
    return row


def cancel(recovery_id: str) -> bool:
    """Cancel an open recovery; return False if it has expired or was completed first."""
    now = clock.now()
    return execute_update(sa.update(Recovery).where(_c.id == recovery_id, *_open(now)).values(cancelled_at=now)) == 1


def complete(recovery_id: str) -> bool:
    """Complete an open recovery whose wait is over; return False if it was canceled first, or isn't ready."""
    now = clock.now()
    ready = (_c.id == recovery_id, _c.ready_at <= now, *_open(now))
    return execute_update(sa.update(Recovery).where(*ready).values(done_at=now)) == 1


def gets_reminder(wait: timedelta) -> bool:
    """Return whether a recovery with this wait gets a reminder; for a short one the first message is enough."""
    return wait >= 2 * REMIND_BEFORE


def due_for_reminder(most: int) -> list[Recovery]:
    """Return open recoveries that will be ready within a day and aren't marked as reminded."""
    now = clock.now()
    soon = (_c.ready_at <= now + REMIND_BEFORE, _c.reminded_at.is_(None), *_open(now))
    return list(db.session.scalars(sa.select(Recovery).where(*soon).limit(most)))


def mark_reminded(recovery_id: str) -> bool:
    """Mark a recovery as reminded; return False if another worker was first, or it has ended."""
    now = clock.now()
    unreminded = (_c.id == recovery_id, _c.reminded_at.is_(None), *_open(now))
    return execute_update(sa.update(Recovery).where(*unreminded).values(reminded_at=now)) == 1


def prune_recoveries() -> int:
    """Delete a batch of recoveries that no limit counts any more; return the number deleted."""
    return delete_batch(db.session, Recovery, _c.expires_at < clock.now() - COUNTED_FOR)


def state_of(recovery: Recovery) -> str:
    """Return ``open``, ``cancelled``, ``done`` or ``expired``."""
    if recovery.cancelled_at is not None:
        return "cancelled"
    if recovery.done_at is not None:
        return "done"
    return "open" if recovery.expires_at > clock.now() else "expired"


def proof_of(user_id: int, challenge_id: str) -> str:
    """Return a token that proves for ten minutes that this user's mailbox was verified. It can't sign anyone in."""
    until = int((clock.now() + PROOF_LIFETIME).timestamp())
    return PROOF.seal(keyring, str(user_id), challenge_id, str(until))


def read_proof(token: str) -> VerifiedMailbox | None:
    """Return the user and challenge of a proof; None if it isn't ours or has expired."""
    fields = PROOF.open(keyring, token)
    if fields is None:
        return None
    user_id, challenge_id, until = fields
    return VerifiedMailbox(int(user_id), challenge_id) if int(until) > clock.unix() else None


def cancel_link(recovery: Recovery) -> str:
    """Return the URL that cancels ``recovery``, from any browser, for as long as it is open."""
    return settings.public_url + CANCEL_PATH + CANCEL.seal(keyring, recovery.id)


def read_cancel(token: str) -> str | None:
    """Return the ID of the recovery that ``token`` cancels, or None if the token isn't ours."""
    fields = CANCEL.open(keyring, token)
    return fields[0] if fields else None


def _open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (_c.cancelled_at.is_(None), _c.done_at.is_(None), _c.expires_at > now)
