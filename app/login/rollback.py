"""Undo what a reported session has set up and changed, so that an intruder can't get back in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.audit import record, signals
from app.authenticators import enrollments
from app.authenticators.base import Credential
from app.authenticators.models import RecoveryCode
from app.authenticators.registry import authenticator_of, authenticators
from app.authenticators.sent_codes import EmailCode, enroll_email_code
from app.authenticators.webauthn import passkeys
from app.challenges import notice_links
from app.client import ClientContext
from app.enrollments.methods import active_methods, method_of
from app.errors import Rejected
from app.extensions import db, settings
from app.login import second_factor
from app.notifications import notices
from app.notifications.notices import Sentence, sentence
from app.sessions.models import AuthSession
from app.sessions.store import revoke_all_sessions
from app.users import AddressChange, User, emails_of, identities_of
from app.users.accounts import changes_since, first_change_by, revert


def roll_back(user_id: int, session_ids: Collection[str], agent: str) -> int:
    """Remove the sign-in methods that these sessions recently set up; return how many were removed.

    Recently means less than ``LATCHKEY_NEW_METHOD_WAIT`` ago: access to the mailbox alone must not be enough to remove
    an owner's older methods.

    Also removes methods set up in sessions that were opened with them, reverts all address changes since the first one
    by these sessions (which counts as one more in the result), and ends all sessions of the account. Keeps email codes
    while the account has an address, and any method without which nobody could sign in. The owner is notified of
    methods that stay. The caller holds the lock on the user's row.
    :param agent: browser of the reported sign-in, for the notices
    """
    user = db.session.get(User, user_id)
    if user is None:
        return 0
    theirs = set(session_ids)
    all_theirs = _set_up_by(user_id, set(session_ids))
    gone = [
        credential
        for credential in _set_up_by(user_id, theirs, since=clock.now() - _rollback_period())
        if _remove(user, credential)
    ]
    first = first_change_by(user_id, theirs)
    restored = first is not None and restore_addresses(user, first, agent)
    for credential in gone:
        _notify_removed(user_id, credential, agent)
    if kept := [_title(credential) for credential in all_theirs if credential not in gone]:
        _notify_kept(user_id, kept, agent)
    if gone or restored:
        revoke_all_sessions(user_id)
    if gone:
        signals.send(
            signals.us_profile_changed, user=user, methods=[credential.method for credential in gone], delete=True
        )
    return len(gone) + restored


def restore_addresses(user: User, first: AddressChange, agent: str, *, strict: bool = False) -> bool:
    """Revert the address change ``first`` and all later ones of this account; return whether that was possible.

    Notifies the restored addresses and the removed ones. The caller holds the lock on the user's row.
    :param strict: raise an error if that isn't possible, instead of leaving the addresses as they are
    :raises Rejected: ``undo_taken`` if a removed address belongs to another account by now, ``last_address`` if
        the account could no longer be reached
    """
    changes = changes_since(user.id, first.created_at)
    try:
        with db.session.begin_nested():
            revert(user, changes)
            _keep_reachable(user)
    except Rejected:
        if strict:
            raise
        return False
    record("address.change_undone", user.id, changes=len(changes))
    _notify_addresses(user, changes, agent)
    return True


def restore_email_codes(user: User, session_id: str) -> None:
    """Enable email codes again if the only sign-in methods left are those that this session set up.

    An intruder may have removed email codes before changing the address. Their own method would then be the last one,
    and couldn't be removed. The caller has checked that the address is the owner's, and holds the lock on the user's
    row.
    """
    theirs = _set_up_by(user.id, {session_id})
    rows = [row for row in enrollments.enrolled_of(user.id) if row not in theirs]
    keys = [key for key in passkeys.passkeys_of(user.id) if key not in theirs]
    can_mail = method_of(EmailCode.name).is_enabled and bool(emails_of(user.id))
    if not keys and not active_methods(rows) and can_mail and enroll_email_code(user.id):
        record("factor.added", user.id, method=EmailCode.name, reason="undone")


def _keep_reachable(user: User) -> None:
    """Remove email codes if no email is left, provided that the user has another sign-in method and a phone number.

    :raises Rejected: ``last_address`` if not
    """
    if emails_of(user.id):
        return
    others = set(active_methods(enrollments.enrolled_of(user.id))) - {EmailCode.name} or passkeys.signs_in_alone(
        user.id
    )
    if not others or "phone" not in identities_of(user.id):
        raise Rejected("last_address")
    enrollments.remove(user.id, EmailCode.name)


def _notify_addresses(user: User, changes: Sequence[AddressChange], agent: str) -> None:
    left = emails_of(user.id)
    gone = [change.new for change in changes if change.new and change.new not in left]
    what = sentence("Your previous email addresses were restored, because you reported that a change wasn't you.")
    notices.notify(user.id, what, ClientContext("", "", agent), also=gone)


def _rollback_period() -> timedelta:
    """Return how long reports remove new methods. Without a cooldown, that's as long as sessions can be reported."""
    return settings.new_method_wait or notice_links.REPORTED_WITHIN


def _set_up_by(user_id: int, session_ids: set[str], since: datetime | None = None) -> list[Credential]:
    """Return what these sessions set up after ``since``, and sessions opened with those methods; passkeys first."""
    rows = enrollments.enrolled_of(user_id)
    credentials = [
        credential
        for each in sorted(authenticators(), key=lambda each: each.is_typed)
        for credential in each.credentials_of(user_id, rows)
    ]
    credentials = [credential for credential in credentials if since is None or credential.created_at > since]
    opened = db.session.execute(
        sa.select(AuthSession.session_id, AuthSession.amr, AuthSession.created_at).where(AuthSession.user_id == user_id)
    ).all()
    theirs: list[Credential] = []
    while more := [
        credential for credential in credentials if credential.session_id in session_ids and credential not in theirs
    ]:
        theirs += more
        for session_id, amr, created_at in opened:
            if any(credential.method in amr.split(",") and credential.created_at <= created_at for credential in more):
                session_ids.add(session_id)
    return [credential for credential in credentials if credential in theirs]


def _remove(user: User, credential: Credential) -> bool:
    """Remove a credential, and with a phone its number, unless the user could then no longer sign in."""
    authenticator = authenticator_of(credential.method)
    if isinstance(credential, RecoveryCode):
        return authenticator.remove(user, credential)
    left = authenticator.without(credential, enrollments.enrolled_of(user.id))
    alone = passkeys.signs_in_alone(user.id, except_id=credential.id)
    seconds = [row.method for row in left if row.is_second]
    if seconds and not second_factor.can_still_sign_in(left, seconds) and not alone:
        return False
    return bool(active_methods(left) or alone) and authenticator.remove(user, credential)


def _title(credential: Credential) -> Sentence:
    return sentence(authenticator_of(credential.method).one_title)


def _notify_kept(user_id: int, titles: Sequence[Sentence], agent: str) -> None:
    what = [
        sentence("This sign-in method was added from there, and we kept it: {method}.", method=title)
        for each, title in enumerate(titles)
        if title not in titles[:each]
    ]
    remedy = sentence("If you don't recognize it, remove it or recover your account.")
    notices.notify(user_id, [*what, remedy], ClientContext("", "", agent))


def _notify_removed(user_id: int, credential: Credential, agent: str) -> None:
    record("factor.removed", user_id, method=credential.method, reason="denied")
    what = sentence("{method} removed, because you reported that a sign-in wasn't you.", method=_title(credential))
    notices.notify(user_id, what, ClientContext("", "", agent))
