"""Set up a sign-in method: begin, verify and confirm; remove one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app import throttling
from app.audit import record, signals
from app.authenticators import cooldown as authenticator_cooldown
from app.authenticators import enrollment_service, enrollments, totp_apps
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.enrollment_service import PendingEnrollment
from app.authenticators.presenters import TITLES
from app.authenticators.webauthn import passkeys
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.models import Challenge, challenge_id_in
from app.client import ClientContext
from app.enrollments.catalog import METHODS, enabled_methods
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.login import removal
from app.login.credential_changes import lock_credentials as lock_credentials
from app.login.credential_changes import revoke_other_sessions as revoke_other_sessions
from app.login.freshness import freshen
from app.notifications import notices
from app.sessions.models import AuthSession
from app.sessions.store import renew_token
from app.throttling import by_account
from app.users import User, drop_identity, identities_of

PURPOSE = "setup"


def changes_what_is_there(user: User, method: str) -> bool:
    """Say whether setting ``method`` up takes the place of something that ``user`` has: that, or their number.

    An authenticator app takes no other's place; but where apps are asked for as a second step, one more changes that.
    A statement, and for a text message another.
    """
    if _is_changed_by(method, enrollments.enrolled_of(user.id)):
        return True
    return method == "sms" and _number_of(user) != ""


def begin(
    user: User, session: AuthSession, method: str, phone: str | None, client: ClientContext, *, replacing: bool = False
) -> PendingEnrollment:
    """Begin to set up ``method``; the user's account stays as it is until this session proves it.

    :param replacing: whether what the user has of this method is removed by the same request
    :raises Rejected: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``authenticator_too_many``; ``too_many_requests``
    """
    if method not in enabled_methods():
        raise Rejected("us_method_not_available", field="chosen_method")
    throttling.take("starts", client.ip_address)
    begun = enrollment_service.begin(user, method, phone, PURPOSE, session.session_id, client, replacing=replacing)
    if METHODS[method].sends:
        signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=False)
    return begun


def still_open(user: User, session: AuthSession, state: str) -> PendingEnrollment | None:
    """Return the enrollment that ``state`` names if this session can still prove it."""
    return enrollment_service.still_open(user, state, PURPOSE, session.session_id)


def confirm(
    user: User, session: AuthSession, state: str, passcode: str | int, client: ClientContext, name: str = ""
) -> Challenge:
    """Store the enrollment that ``state`` names if ``passcode`` proves it, and this very session began it.

    :param name: of an authenticator app; "" for the default. One that won't do is refused before a try is counted
    :raises Rejected: ``api_error`` or ``us_setup_expired`` on the form; ``invalid_password_code`` or a password's
        own refusal on ``passcode``; what is wrong with it on ``name``; ``authenticator_too_many``;
        ``identity_already_associated`` when the number was taken meanwhile
    """
    name = totp_apps.checked_for_new(user.id, name)
    challenge_id = challenge_id_in(state) or ""
    fitting = passcodes.methods_fitting(passcode)
    challenge = challenges.count_try_of(challenge_id, user.id, PURPOSE, session.session_id, fitting)
    if challenge is None:
        raise enrollment_service.why_not(user, challenge_id, PURPOSE, session.session_id)
    guess = (
        by_account.reserve(user.id, "", session_id=session.session_id)
        if METHODS[challenge.method].sends
        else by_account.UNLIMITED
    )
    if guess is None:
        raise Rejected("invalid_password_code", field="passcode")
    lock_credentials(user, session)
    number_before = _number_of(user) if challenge.method == "sms" else ""
    weak_until = cooldown(user, session, challenge.method)
    enrollment_service.store(user, challenge, passcode, session.session_id, weak_until=weak_until, name=name)
    by_account.refund(guess)
    if challenge.method != "password":  # which nobody has proved yet: it was only chosen
        freshen(session, challenge.method, held=weak_until is not None)
    settle(user, session, client, weak_until)
    also = [number_before] if number_before not in ("", challenge.destination) else []
    _tell(user, session, "factor.added", challenge.method, client, challenge.id, also, weak_until)
    signals.send(signals.us_profile_changed, user=user, methods=[challenge.method], delete=False)
    return challenge


def cooldown(user: User, session: AuthSession, method: str, *, is_second: bool = False) -> datetime | None:
    """Return when the cooldown of ``method`` ends that ``session`` adds now; None when it has none.

    The caller holds the user's row.
    :param is_second: whether it is asked for as a second step from now on
    :raises Rejected: ``api_error`` when it changes what is set up and the session was not proved by enough for that: it
        is asked for at sign-in, or takes the place of another one, which was added meanwhile
    """
    enrolled = enrollments.enrolled_of(user.id)
    until = authenticator_cooldown.ends_at(session, enrolled)
    changes = is_second or _is_changed_by(method, enrolled)
    if until and changes and not assurance_levels_of(enrolled).satisfied_by(session.proved_amr or ""):
        raise Rejected("api_error")
    return until


def settle(user: User, session: AuthSession, client: ClientContext, weak_until: datetime | None) -> None:
    """End what else is open at the account, after a method was added; not for one in its cooldown.

    A weaker proof signs nobody out who gave a stronger one.
    """
    if weak_until is None:
        revoke_other_sessions(user, session, client)
    elif session.kind == "browser":
        renew_token(session)


def cooldown_text(weak_until: datetime | None) -> str:
    """Return what the owner is told of a method's cooldown, as one more sentence; "" when it has none."""
    if weak_until is None:
        return ""
    until = f"{weak_until.day} {weak_until:%b %Y, %H:%M} UTC"
    return f" It was added without your strongest sign-in method, so it can’t change the others until {until}."


def allow_removal(user: User, session: AuthSession, names: Sequence[str]) -> None:
    """Go on only if some way to sign in is left without ``names``; until the commit no other request can remove any.

    :raises Rejected: ``us_method_not_available``, ``last_method`` or ``last_second_factor`` on ``delete_method``;
        ``api_error`` when the session has ended meanwhile
    """
    if any(name not in METHODS for name in names):
        raise Rejected("us_method_not_available", field="delete_method")
    lock_credentials(user, session)
    removal.allow_removal(user, names, "delete_method")


def remove(user: User, session: AuthSession, names: Sequence[str], client: ClientContext) -> None:
    """Remove ways to sign in, which ``allow_removal`` let go. A removed phone number finds nobody any more."""
    gone = [name for name in dict.fromkeys(names) if enrollments.remove(user.id, name)]
    for name in gone:
        number = _number_of(user) if name == "sms" else ""
        if name == "sms":
            drop_identity(user, "phone")
        _tell(user, session, "factor.removed", name, client, also=[number] if number else [])
    if gone:
        revoke_other_sessions(user, session, client)
        signals.send(signals.us_profile_changed, user=user, methods=gone, delete=True)


def _is_changed_by(method: str, enrolled: Sequence[Enrollment]) -> bool:
    """Say whether setting ``method`` up changes what is there, rather than only adding to it."""
    if method == passkeys.METHOD:
        return False
    return any(row.is_second or method != totp_apps.METHOD for row in enrolled if row.method == method)


def _number_of(user: User) -> str:
    return identities_of(user.id).get("phone", "")


def _tell(
    user: User,
    session: AuthSession,
    event: str,
    name: str,
    client: ClientContext,
    its_id: str | None = None,
    also: Sequence[str] = (),
    weak_until: datetime | None = None,
) -> None:
    """Record what was done and tell the owner of it; a number that went, too, by its last text message."""
    record(event, user.id, challenge_id=its_id, method=name)
    done = event.partition(".")[2]
    what = f"{TITLES[name]} was {done}.{cooldown_text(weak_until)}"
    notices.notify(user.id, what, client, also=also, session_id=session.session_id, by_text=weak_until is not None)
