"""Erase accounts that are due, and those that were never confirmed (a worker's job).

Only their events remain, with a random negative number in place of the user and without address, browser or facts.
They can be counted, but not traced to a person.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any, cast

import sqlalchemy as sa

from app import clock, webhooks
from app.audit import Event, record, signals
from app.challenges.models import Challenge
from app.extensions import changed, db, settings
from app.outbox import Message
from app.outbox.leases import claim_rows, claiming
from app.outbox.service import LOGOUT
from app.privacy.models import Deletion
from app.sessions.store import revoke_all_sessions
from app.users import Identity, User

BATCH = 1000
"""Number of events updated by one statement."""

_d = Deletion.__table__.c
_CLAIM = claiming(_d.user_id, _d.due_at, pseudonym=sa.func.coalesce(_d.pseudonym, sa.bindparam("drawn")))
_is_active = sa.and_(User.deletes_at.is_(None), User.disabled_at.is_(None))


def erase_one(stop: threading.Event) -> bool:
    """Erase the account that is due first; return whether there was one. Can be interrupted and repeated."""
    claimed = claim_rows(_CLAIM, drawn=new_pseudonym())
    if not claimed:
        return _mark_unconfirmed()
    user_id, pseudonym = claimed[0].user_id, claimed[0].pseudonym
    while not stop.is_set() and anonymise(user_id, pseudonym, autocommit=True):
        pass
    if not stop.is_set():
        erase(user_id, pseudonym)
    return True


def new_pseudonym() -> int:
    """Return a random negative number, which is never a user ID. It can't be traced back."""
    return -1 - secrets.randbelow(2**31 - 1)


def anonymise(user_id: int, pseudonym: int, *, autocommit: bool = False) -> int:
    """Replace the user of a batch of events with ``pseudonym`` and remove all details; return the number of events.

    :param autocommit: commit it in a transaction of its own
    """
    batch = sa.select(Event.id).where(Event.user_id == user_id).limit(BATCH)
    empty: dict[str, Any] = {"address": "", "agent": "", "support_id": "", "request_id": "", "facts": {}}
    statement = sa.update(Event).where(Event.id.in_(batch)).values(user_id=pseudonym, challenge_id=None, **empty)
    done = db.session.execute(statement.execution_options(synchronize_session=False, autocommit=autocommit))
    return cast("sa.CursorResult[Any]", done).rowcount


def erase(user_id: int, pseudonym: int) -> bool:
    """Erase the rest of an account in this transaction; return False if another worker has done it.

    Foreign keys and triggers delete the account's rows. Challenges that others requested for one of its addresses are
    deleted, too: they were decoys as long as the account existed. Pending logout notifications to apps, which end the
    account's sessions there, are still delivered.
    """
    while anonymise(user_id, pseudonym):
        pass
    found = db.session.execute(sa.select(User.handle, User.confirmed_at).where(User.id == user_id)).first()
    was_unconfirmed = found is None or found.confirmed_at is None
    values = list(db.session.scalars(sa.select(Identity.value).where(Identity.user_id == user_id)))
    revoke_all_sessions(user_id)
    to_apps = sa.and_(Message.channel == LOGOUT, Message.next_attempt_at.is_not(None))
    changed(sa.delete(Message).where(sa.or_(Message.user_id == user_id, Message.to.in_(values)), ~to_apps))
    changed(sa.delete(Challenge).where(Challenge.destination.in_(values)))
    mine = sa.exists().where(Deletion.user_id == User.id, Deletion.pseudonym == pseudonym)
    if changed(sa.delete(User).where(User.id == user_id, mine)) != 1:
        return False
    if found is not None:
        webhooks.account_deleted(found.handle)
    if not was_unconfirmed:
        record("account.deleted", pseudonym)
        signals.send(signals.user_deleted)
    return True


def _mark_unconfirmed() -> bool:
    """Schedule the erasure of an account that wasn't confirmed in time; return whether there was one.

    Accounts with an open code or link that could still confirm them are skipped.
    """
    if not settings.unconfirmed_keep:
        return False
    now = clock.now()
    old = (User.confirmed_at.is_(None), User.created_at < now - settings.unconfirmed_keep, _is_active)
    still_open = sa.exists().where(Challenge.user_id == User.id, Challenge.expires_at > now)
    found = db.session.scalar(sa.select(User.id).where(*old, ~still_open).limit(1))
    if found is None:
        return False
    if changed(sa.update(User).where(User.id == found, *old, ~still_open).values(deletes_at=now)) == 1:
        when = {"asked_at": now, "deletes_at": now, "due_at": now}
        db.session.execute(sa.insert(Deletion).values(user_id=found, **when))
    return True
