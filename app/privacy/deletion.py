"""Schedule or cancel the deletion of an account, and remind its owner a day before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, outbox
from app.audit import record, signals
from app.challenges.service import end_open
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import changed, db, settings
from app.login.credential_changes import lock_credentials
from app.notifications.notices import notify, sentence
from app.privacy.emails import mailboxes_of, phones_of, recently_removed
from app.privacy.models import Deletion, Export, open_undo
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession, PendingSignIn
from app.sessions.store import revoke_all_sessions
from app.users import User, lock_account
from app.users.accounts import deletion_hooks

REMIND_BEFORE = timedelta(days=1)

BATCH = 100
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
    changed(sa.update(User).where(User.id == user.id).values(deletes_at=deletes_at))
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
        .limit(BATCH)
    )
    found = db.session.execute(soon).all()
    for user_id, handle, deletes_at in found:
        mine = sa.update(Deletion).where(Deletion.user_id == user_id, *due)
        if changed(mine.values(remind_at=None)):
            notify_owner("deletion_reminder", user_id, handle, deletes_at)
    return len(found) == BATCH


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
    if changed(sa.delete(Deletion).where(*undone)) != 1:
        return False
    changed(sa.update(User).where(User.id == user.id).values(deletes_at=None))
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
    changed(sa.delete(PendingSignIn).where(PendingSignIn.user_id == user_id))
    api_tokens.revoke_all(user_id, reason="deletion")
    end_open(user_id)
    revoke_browsers(user_id)
    changed(sa.delete(Export).where(Export.user_id == user_id))
    for end in deletion_hooks():
        end(user_id)
