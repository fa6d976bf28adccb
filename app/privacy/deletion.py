"""Delete an account: schedule or cancel that, remind its owner a day before, and erase what is due (a worker's job).

Only an erased account's events remain, with a random negative number in place of the user and without address, browser
or facts. They can be counted, but not traced to a person.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from app import clock, outbox, webhooks
from app.audit import Event, record, signals
from app.challenges.models import Challenge
from app.challenges.service import end_open
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import db, execute_update, settings
from app.login.credential_changes import lock_credentials
from app.notifications.notices import notify, sentence
from app.outbox import Message
from app.outbox.leases import claim_rows, claiming
from app.outbox.service import LOGOUT
from app.privacy.emails import mailboxes_of, phones_of, recently_removed
from app.privacy.models import Deletion, Export, open_undo
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession, PendingSignIn
from app.sessions.store import revoke_all_sessions
from app.users import Identity, User, lock_account
from app.users.accounts import deletion_hooks

REMIND_BEFORE = timedelta(days=1)

REMINDERS_PER_BATCH = 100
"""Number of accounts to send reminders for in one transaction."""


@dataclass(frozen=True, slots=True)
class DeletionStatus:
    """When an account is due to be erased, and whether it was kept."""

    deletes_at: datetime
    kept: bool


def schedule_deletion(
    user: User, session: AuthSession | None = None, *, quietly: bool = False, **facts: Any
) -> datetime:
    """Close the account, sign out everywhere, and schedule its erasure; return when that will be.

    Every verified address is notified, with the link that cancels it. A second call changes nothing.
    :param session: the session that requested it, if any
    :param quietly: notify no one, for an account that is erased immediately
    :param facts: for the event
    :raises Rejected: ``api_error`` if the session was revoked meanwhile
    """
    if session is None:
        lock_account(user.id)
    else:
        lock_credentials(user, session)
    if scheduled := db.session.scalar(sa.select(Deletion.deletes_at).where(Deletion.user_id == user.id)):
        return scheduled
    now = clock.now().replace(microsecond=0)
    deletes_at = now + settings.delete_wait
    remind_at = deletes_at - REMIND_BEFORE if settings.delete_wait > REMIND_BEFORE else None
    when = {"asked_at": now, "deletes_at": deletes_at, "remind_at": remind_at, "due_at": deletes_at}
    db.session.execute(sa.insert(Deletion).values(user_id=user.id, **when))
    execute_update(sa.update(User).where(User.id == user.id).values(deletes_at=deletes_at))
    _revoke_all(user.id)
    record("account.deletion_requested", user.id, **facts)
    if not quietly:
        by = "operator" if "by" in facts else "owner"
        notify_owner("deletion_requested", user.id, user.handle, deletes_at, by=by)
    signals.send(signals.user_deletion_requested, user=user, deletes_at=deletes_at)
    return deletes_at


def notify_owner(kind: str, user_id: int, handle: str, deletes_at: datetime, by: str = "owner") -> None:
    """Send the link that cancels a deletion to each verified address, or by text message if there is no mailbox.

    Recently removed addresses get it, too: someone who took the account over may have removed its owner's.

    :param by: who requested the deletion: ``owner``, for the signed-in session, or ``operator``
    """
    facts: dict[str, Any] = {"handle": handle, "deletes_at": deletes_at.isoformat(), "by": by}
    mailboxes = mailboxes_of(user_id)
    everywhere = list(dict.fromkeys([*mailboxes, *recently_removed(user_id)]))
    outbox.enqueue_each(kind, "mail", everywhere, user_id=user_id, **facts)
    outbox.enqueue_each(kind, "sms", [] if mailboxes else phones_of(user_id), user_id=user_id, **facts)


def remind() -> bool:
    """Send the link again for deletions that are due soon; return whether there may be more.

    With several workers, only one sends each reminder.
    """
    due = (Deletion.remind_at <= clock.now(), Deletion.pseudonym.is_(None))
    soon = (
        sa.select(User.id, User.handle, Deletion.deletes_at)
        .join(Deletion, Deletion.user_id == User.id)
        .where(*due)
        .limit(REMINDERS_PER_BATCH)
    )
    found = db.session.execute(soon).all()
    for user_id, handle, deletes_at in found:
        mine = sa.update(Deletion).where(Deletion.user_id == user_id, *due)
        if execute_update(mine.values(remind_at=None)):
            notify_owner("deletion_reminder", user_id, handle, deletes_at)
    return len(found) == REMINDERS_PER_BATCH


def deletion_status(token: str) -> DeletionStatus:
    """Return the status of the deletion that ``token`` identifies.

    :raises Rejected: ``undo_invalid`` (404) if the token isn't ours, another deletion has replaced this one, or it
        is too late
    """
    user, named_for = _named_by(token)
    if user.deletes_at is not None and (user.deletes_at != named_for or named_for <= clock.now()):
        raise Rejected("undo_invalid", status=404)
    return DeletionStatus(named_for, user.deletes_at is None)


def cancel_deletion(token: str, client: ClientContext) -> DeletionStatus:
    """Cancel the deletion that ``token`` identifies. Signs no one in; what was revoked stays revoked.

    :raises Rejected: as ``deletion_status``
    """
    status = deletion_status(token)
    if status.kept:
        return status
    user, _ = _named_by(token)
    if not cancel_requested(user):
        raise Rejected("undo_invalid", status=404)
    notify(user.id, sentence("It won't be deleted: the link in our email was used to keep it."), client)
    return DeletionStatus(status.deletes_at, True)


def cancel_requested(user: User, *, late: bool = False, **facts: Any) -> bool:
    """Cancel the deletion of an account; return False if there is none, or a worker has started to erase the account.

    :param late: allow this after the scheduled time, too, as long as no worker has started
    """
    lock_account(user.id)
    undone = [Deletion.user_id == user.id, Deletion.pseudonym.is_(None)]
    undone += [] if late else [Deletion.due_at > clock.now()]
    if execute_update(sa.delete(Deletion).where(*undone)) != 1:
        return False
    execute_update(sa.update(User).where(User.id == user.id).values(deletes_at=None))
    _revoke_all(user.id)  # a sign-in may have created a session at the moment the account was closed
    record("account.deletion_undone", user.id, **facts)
    signals.send(signals.user_deletion_undone, user=user)
    return True


def _named_by(token: str) -> tuple[User, datetime]:
    named = open_undo(token)
    if named is None:
        raise Rejected("undo_invalid", status=404)
    handle, deletes_at = named
    found = sa.select(User).where(User.handle == handle).execution_options(populate_existing=True)
    if (user := db.session.scalar(found)) is None:
        raise Rejected("undo_invalid", status=404)
    return user, deletes_at


def _revoke_all(user_id: int) -> None:
    """Revoke sessions, pending sign-ins, API tokens, open codes and links, known devices and exports, and run hooks."""
    revoke_all_sessions(user_id)
    execute_update(sa.delete(PendingSignIn).where(PendingSignIn.user_id == user_id))
    api_tokens.revoke_all(user_id, reason="deletion")
    end_open(user_id)
    revoke_browsers(user_id)
    execute_update(sa.delete(Export).where(Export.user_id == user_id))
    for end in deletion_hooks():
        end(user_id)


# --- erasure ------------------------------------------------------------------------------------


EVENTS_PER_BATCH = 1000
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
    batch = sa.select(Event.id).where(Event.user_id == user_id).limit(EVENTS_PER_BATCH)
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
    execute_update(sa.delete(Message).where(sa.or_(Message.user_id == user_id, Message.to.in_(values)), ~to_apps))
    execute_update(sa.delete(Challenge).where(Challenge.destination.in_(values)))
    mine = sa.exists().where(Deletion.user_id == User.id, Deletion.pseudonym == pseudonym)
    if execute_update(sa.delete(User).where(User.id == user_id, mine)) != 1:
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
    if execute_update(sa.update(User).where(User.id == found, *old, ~still_open).values(deletes_at=now)) == 1:
        when = {"asked_at": now, "deletes_at": now, "due_at": now}
        db.session.execute(sa.insert(Deletion).values(user_id=found, **when))
    return True
