"""Set up a sign-in method: start and confirm it; remove one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app import throttling
from app.audit import record, signals
from app.authenticators import assurance, enrollment_service, enrollments, totp
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.enrollment_service import PendingEnrollment, checked_name
from app.authenticators.presenters import titles
from app.authenticators.registry import authenticator_of, configurable_methods, methods_verifiable_by
from app.challenges import service as challenges
from app.challenges.models import Challenge, challenge_id_in
from app.client import ClientContext
from app.enrollments.methods import enabled_methods, method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.login import credential_changes
from app.login.credential_changes import lock_credentials as lock_credentials
from app.login.credential_changes import revoke_other_sessions as revoke_other_sessions
from app.login.freshness import freshen
from app.notifications import notices
from app.notifications.notices import Sentence, sentence
from app.sessions.models import AuthSession
from app.sessions.store import renew_token
from app.throttling import by_account
from app.users import User, identities_of

PURPOSE = "setup"


def replaces_existing(user: User, method: str) -> bool:
    """Return whether setting up ``method`` replaces something the user has: that method, or their phone number.

    An authenticator app doesn't replace another one; but where apps are the second factor, adding one changes that.
    One SQL statement, and another one for a text message.
    """
    if _is_affected_by(method, enrollments.enrolled_of(user.id)):
        return True
    return method_of(method).owns_identity and _owned_identity(user, method) != ""


def begin(
    user: User, session: AuthSession, method: str, phone: str | None, client: ClientContext, *, replacing: bool = False
) -> PendingEnrollment:
    """Start setting up ``method``. The account doesn't change until this session verifies it.

    :param replacing: whether the same request removes the user's existing enrollment of this method
    :raises Rejected: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``authenticator_too_many``; ``too_many_requests``
    """
    if method not in enabled_methods():
        raise Rejected("us_method_not_available", field="chosen_method")
    throttling.take("starts", client.ip_address)
    begun = enrollment_service.begin(user, method, phone, PURPOSE, session.session_id, client, replacing=replacing)
    if method_of(method).sends:
        signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=False)
    return begun


def find_pending(user: User, session: AuthSession, state: str) -> PendingEnrollment | None:
    """Return the enrollment ``state`` if this session can still verify it."""
    return enrollment_service.find_pending(user, state, PURPOSE, session.session_id)


def confirm(
    user: User, session: AuthSession, state: str, passcode: str | int, client: ClientContext, name: str = ""
) -> Challenge:
    """Store the enrollment ``state`` if ``passcode`` verifies it, and this session started it.

    :param name: of an authenticator app; "" for the default. Validated before the attempt is counted
    :raises Rejected: ``api_error`` or ``us_setup_expired`` on the form; ``invalid_password_code`` or a password's
        own validation error on ``passcode``; the validation error of ``name``; ``authenticator_too_many``;
        ``identity_already_associated`` if the number was taken meanwhile
    """
    challenge_id = challenge_id_in(state) or ""
    name = checked_name(user, challenge_id, PURPOSE, name)
    fitting = methods_verifiable_by(passcode)
    challenge = challenges.count_try_of(challenge_id, user.id, PURPOSE, session.session_id, fitting)
    if challenge is None:
        raise enrollment_service.enrollment_error(user, challenge_id, PURPOSE, session.session_id)
    login_attempt = (
        by_account.reserve(user.id, "", session_id=session.session_id)
        if method_of(challenge.method).sends
        else by_account.UNLIMITED
    )
    if login_attempt is None:
        raise Rejected("invalid_password_code", field="passcode")
    lock_credentials(user, session)
    before = _owned_identity(user, challenge.method)
    weak_until = cooldown_until(user, session, challenge.method)
    enrollment_service.store(user, challenge, passcode, session.session_id, weak_until=weak_until, name=name)
    by_account.refund(login_attempt)
    if not method_of(challenge.method).is_user_chosen:  # setting a new password isn't proof of identity
        freshen(session, challenge.method, in_cooldown=weak_until is not None)
    revoke_sessions_after_add(user, session, client, weak_until)
    also = [before] if before not in ("", challenge.destination) else []
    _record_and_notify(user, session, "factor.added", challenge.method, client, challenge.id, also, weak_until)
    signals.send(signals.us_profile_changed, user=user, methods=[challenge.method], delete=False)
    return challenge


def cooldown_until(user: User, session: AuthSession, method: str, *, is_second: bool = False) -> datetime | None:
    """Return when the cooldown of the ``method`` that ``session`` is adding ends; None if it has none.

    The caller must hold a lock on the user's row.
    :param is_second: whether the method becomes a second factor
    :raises Rejected: ``api_error`` if it changes what is already set up, because it becomes a second factor or replaces
        a method added meanwhile, and the session's reauthentication wasn't strong enough for that
    """
    enrolled = enrollments.enrolled_of(user.id)
    until = assurance.cooldown_end(session, enrolled)
    changes = is_second or _is_affected_by(method, enrolled)
    if until and changes and not assurance_levels_of(enrolled).satisfied_by(session.proved_amr or ""):
        raise Rejected("api_error")
    return until


def revoke_sessions_after_add(
    user: User, session: AuthSession, client: ClientContext, weak_until: datetime | None
) -> None:
    """End the account's other sessions after a method was added, unless the method is in its cooldown.

    A weaker verification must not sign out someone who gave a stronger one.
    """
    if weak_until is None:
        revoke_other_sessions(user, session, client)
    elif session.kind == "browser":
        renew_token(session)


def cooldown_text(weak_until: datetime | None) -> list[Sentence]:
    """Return the sentences that explain a method's cooldown to its owner; empty if it has none."""
    if weak_until is None:
        return []
    return [
        sentence(
            "It was added without your strongest sign-in method, so it can't change the others until {time}.",
            time=weak_until,
        )
    ]


def check_removal(user: User, session: AuthSession, names: Sequence[str]) -> None:
    """Check that a sign-in method is left without ``names``. No other request can remove any until the commit.

    :raises Rejected: ``us_method_not_available``, ``last_method`` or ``last_second_factor`` on ``delete_method``;
        ``api_error`` if the session has ended meanwhile
    """
    if any(name not in configurable_methods() for name in names):
        raise Rejected("us_method_not_available", field="delete_method")
    lock_credentials(user, session)
    credential_changes.check_removal(user, names, "delete_method")


def remove(user: User, session: AuthSession, names: Sequence[str], client: ClientContext) -> None:
    """Remove sign-in methods after ``check_removal``. A removed phone number no longer identifies the user."""
    gone = []
    for name in dict.fromkeys(names):
        number = _owned_identity(user, name)
        if authenticator_of(name).remove_all(user):
            gone.append(name)
            _record_and_notify(user, session, "factor.removed", name, client, also=[number] if number else [])
    if gone:
        revoke_other_sessions(user, session, client)
        signals.send(signals.us_profile_changed, user=user, methods=gone, delete=True)


def rename_app(user: User, session: AuthSession, app_id: str, name: str) -> None:
    """Rename one of the user's authenticator apps.

    :raises Rejected: ``authenticator_not_found`` on ``id``; on ``name`` its validation error; ``api_error`` if the
        session has ended meanwhile
    """
    tidy = totp.checked(name)
    lock_credentials(user, session)
    if not totp.rename(user.id, app_id, tidy):
        raise Rejected("authenticator_not_found", field="id")
    record("authenticator.renamed", user.id, method=totp.METHOD)


def remove_app(user: User, session: AuthSession, app_id: str, client: ClientContext) -> None:
    """Remove one of the user's authenticator apps; its codes stop working immediately, and other apps stay.

    :raises Rejected: ``authenticator_not_found``, ``last_method`` or ``last_second_factor`` on ``id``; ``api_error``
        if the session has ended meanwhile
    """
    lock_credentials(user, session)
    if totp.find(user.id, app_id) is None:
        raise Rejected("authenticator_not_found", field="id")
    credential_changes.check_removal(user, [], "id", app_id=app_id)
    totp.remove(user.id, app_id)
    revoke_other_sessions(user, session, client)
    record("factor.removed", user.id, method=totp.METHOD)
    notices.notify(user.id, sentence("An authenticator app was removed."), client, session_id=session.session_id)
    signals.send(signals.us_profile_changed, user=user, methods=[totp.METHOD], delete=True)


def _is_affected_by(method: str, enrolled: Sequence[Enrollment]) -> bool:
    """Return whether setting up ``method`` changes what is already set up, rather than only adding to it."""
    traits = method_of(method)
    if not traits.is_typed:
        return False
    return any(row.is_second or not traits.allows_many for row in enrolled if row.method == method)


def _owned_identity(user: User, method: str) -> str:
    """Return the identity tied to ``method``, such as its phone number; "" for none. At most one SQL statement."""
    traits = method_of(method)
    return identities_of(user.id).get(traits.reaches, "") if traits.owns_identity else ""


def _record_and_notify(
    user: User,
    session: AuthSession,
    event: str,
    name: str,
    client: ClientContext,
    related_id: str | None = None,
    also: Sequence[str] = (),
    weak_until: datetime | None = None,
) -> None:
    """Record the change and notify the owner; a removed phone number gets a last text message, too."""
    record(event, user.id, challenge_id=related_id, method=name)
    title = sentence(titles()[name])
    added = sentence("Sign-in method added: {method}.", method=title)
    removed = sentence("Sign-in method removed: {method}.", method=title)
    what = [added if event == "factor.added" else removed, *cooldown_text(weak_until)]
    notices.notify(user.id, what, client, also=also, session_id=session.session_id, by_text=weak_until is not None)
