"""Roll back what a session has set up and changed, so that an intruder can't come back by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.audit import record, signals
from app.authenticators import enrollments, recovery_codes, totp_apps
from app.authenticators.models import Passkey, RecoveryCode
from app.authenticators.presenters import TITLES
from app.authenticators.webauthn import passkeys
from app.challenges import notice_links
from app.client import ClientContext
from app.enrollments.catalog import active_methods, enabled_methods
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, settings
from app.login import second_factor
from app.notifications import notices
from app.sessions.models import AuthSession
from app.sessions.store import revoke_all_sessions
from app.users import AddressChange, User, drop_identity, emails_of, identities_of
from app.users.accounts import changes_since, first_change_by, revert

RollbackStep = Enrollment | Passkey | RecoveryCode
"""A recovery code stands for all of its set."""

WHY = "because you said that it was not you"


def roll_back(user_id: int, session_ids: Collection[str], agent: str) -> int:
    """Remove the ways to sign in that these sessions have set up lately; return how many went.

    Lately is less than ``LATCHKEY_NEW_METHOD_WAIT`` ago: a mailbox alone takes no way from its owner that is older.

    With them go those that sessions opened by them have set up, what was done to the addresses since one of them
    first touched these, and all sessions of the account. Mail stays while the account has an address, and so does
    what would leave it without any way in. What stays is told. The caller holds the user's row.
    :param agent: browser of the sign-in that is reported, for the mails about it
    """
    user = db.session.get(User, user_id)
    if user is None:
        return 0
    theirs = set(session_ids)
    all_theirs = _set_up_by(user_id, set(session_ids))
    gone = [way for way in _set_up_by(user_id, theirs, since=clock.now() - _lately()) if _remove(user, way)]
    first = first_change_by(user_id, theirs)
    restored = first is not None and restore_addresses(user, first, agent)
    for way in gone:
        _tell(user_id, way, agent)
    if stayed := [_title(way) for way in all_theirs if way not in gone]:
        _tell_of_staying(user_id, stayed, agent)
    if gone or restored:
        revoke_all_sessions(user_id)
    if gone:
        signals.send(signals.us_profile_changed, user=user, methods=[way.method for way in gone], delete=True)
    return len(gone) + restored


def restore_addresses(user: User, first: AddressChange, agent: str, *, strictly: bool = False) -> bool:
    """Take back ``first`` and whatever was done to the addresses of this account after it; return whether that was.

    Every address that was there before and each that goes is told. The caller holds the user's row.
    :param strictly: raise what stands in the way, rather than leave the addresses as they are
    :raises Rejected: ``undo_taken`` when an address that went is another account's by now, ``last_address`` when
        nothing would be left to reach the account by
    """
    changes = changes_since(user.id, first.created_at)
    try:
        with db.session.begin_nested():
            revert(user, changes)
            _keep_reachable(user)
    except Rejected:
        if strictly:
            raise
        return False
    record("address.change_undone", user.id, changes=len(changes))
    _tell_of_addresses(user, changes, agent)
    return True


def give_mail_back(user: User, session_id: str) -> None:
    """Let codes go to the account's address again when nothing is left to sign in by but what this session set up.

    Whoever came in may have removed mail before they changed the address; what is theirs would be the last way in,
    and stay. The caller has seen that the address is the owner's, and holds the user's row.
    """
    theirs = _set_up_by(user.id, {session_id})
    rows = [row for row in enrollments.enrolled_of(user.id) if row not in theirs]
    keys = [key for key in passkeys.passkeys_of(user.id) if key not in theirs]
    if not keys and not active_methods(rows) and "email" in enabled_methods() and emails_of(user.id):
        enrollments.enroll(user.id, "email")
        record("factor.added", user.id, method="email", reason="undone")


def _keep_reachable(user: User) -> None:
    """Let mail go with the last address, when that leaves another way in and another address.

    :raises Rejected: ``last_address``
    """
    if emails_of(user.id):
        return
    others = set(active_methods(enrollments.enrolled_of(user.id))) - {"email"} or passkeys.signs_in_alone(user.id)
    if not others or "phone" not in identities_of(user.id):
        raise Rejected("last_address")
    enrollments.remove(user.id, "email")


def _tell_of_addresses(user: User, changes: Sequence[AddressChange], agent: str) -> None:
    left = emails_of(user.id)
    gone = [change.new for change in changes if change.new and change.new not in left]
    what = f"The addresses of your account are again what they were, {WHY}."
    notices.notify(user.id, what, ClientContext("", "", agent), also=gone)


def _lately() -> timedelta:
    """Return how long what was set up can be taken back; where nothing new has to wait, as long as it can be denied."""
    return settings.new_method_wait or notice_links.REPORTED_WITHIN


def _set_up_by(user_id: int, session_ids: set[str], since: datetime | None = None) -> list[RollbackStep]:
    """Return what these sessions have set up ``since``, and what was set up by way of that; passkeys first."""
    rows = [row for row in enrollments.enrolled_of(user_id) if row.method not in ("email", passkeys.METHOD)]
    ways: list[RollbackStep] = [*passkeys.passkeys_of(user_id), *recovery_codes.one_of(user_id), *rows]
    ways = [way for way in ways if since is None or way.created_at > since]
    opened = db.session.execute(
        sa.select(AuthSession.session_id, AuthSession.amr, AuthSession.created_at).where(AuthSession.user_id == user_id)
    ).all()
    theirs: list[RollbackStep] = []
    while more := [way for way in ways if way.session_id in session_ids and way not in theirs]:
        theirs += more
        for session_id, amr, created_at in opened:
            if any(way.method in amr.split(",") and way.created_at <= created_at for way in more):
                session_ids.add(session_id)
    return [way for way in ways if way in theirs]


def _remove(user: User, way: RollbackStep) -> bool:
    """Remove a way, a phone with its number, unless no other would be left, or a second step that none can answer."""
    if isinstance(way, RecoveryCode):
        return recovery_codes.drop(user.id) > 0
    if not _can_come_in_without(user.id, way):
        return False
    rows = enrollments.enrolled_of(user.id)
    if isinstance(way, Passkey):
        left = bool(active_methods(rows)) or passkeys.signs_in_alone(user.id, but=way.id)
        return left and passkeys.remove(user.id, way.id)
    if not active_methods(_without(way, rows)) and not passkeys.signs_in_alone(user.id):
        return False
    if way.method == totp_apps.METHOD:
        return totp_apps.remove(user.id, way.id)
    if way.method == "sms":
        if not set(identities_of(user.id)) - {"phone"}:
            return False
        drop_identity(user, "phone")
    return enrollments.remove(user.id, way.method) > 0


def _can_come_in_without(user_id: int, way: Enrollment | Passkey) -> bool:
    """Say whether the second step that is left, if there is one, can be taken without ``way``."""
    is_one_of_several = isinstance(way, Passkey) and len(passkeys.passkeys_of(user_id)) > 1
    rows = enrollments.enrolled_of(user_id)
    left = rows if is_one_of_several else _without(way, rows)
    seconds = [row.method for row in left if row.is_second]
    but = way.id if isinstance(way, Passkey) else ""
    return (
        not seconds or second_factor.leaves_a_way_in(left, seconds) or bool(passkeys.signs_in_alone(user_id, but=but))
    )


def _without(way: Enrollment | Passkey, rows: Sequence[Enrollment]) -> list[Enrollment]:
    """Return what is left among ``rows`` when ``way`` goes: all but this app, or but what is of its method."""
    is_app = way.method == totp_apps.METHOD
    return [row for row in rows if (row.id != way.id if is_app else row.method != way.method)]


def _title(way: RollbackStep) -> str:
    if isinstance(way, RecoveryCode):
        return "The recovery codes"
    return "A passkey" if isinstance(way, Passkey) else TITLES[way.method]


def _tell_of_staying(user_id: int, titles: Sequence[str], agent: str) -> None:
    what = f"Set up from there, and not removed: {', '.join(dict.fromkeys(titles))}."
    notices.notify(
        user_id,
        f"{what} Remove it yourself if you don’t know it, or recover the account.",
        ClientContext("", "", agent),
    )


def _tell(user_id: int, way: RollbackStep, agent: str) -> None:
    record("factor.removed", user_id, method=way.method, reason="denied")
    title = "A passkey was" if isinstance(way, Passkey) else f"{TITLES[way.method]} was"
    title = "The recovery codes were" if isinstance(way, RecoveryCode) else title
    notices.notify(user_id, f"{title} removed, {WHY} who signed in.", ClientContext("", "", agent))
