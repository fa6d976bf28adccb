"""The second factor: a code or a recovery code turns the pending sign-in into a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import outbox, throttling
from app.audit import record, signals
from app.authenticators import enrollment_service, recovery_codes
from app.authenticators.base import VerifiedFactor
from app.authenticators.enrollments import enrolled_of, mark_second_factor, set_session
from app.authenticators.presenters import amr_titles, titles
from app.authenticators.registry import methods_verifiable_by
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.diagnosis import VerificationFailure
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import db, settings
from app.i18n import N_
from app.login import pending, second_factor
from app.login.pending import PendingState, StartedPending
from app.login.pipeline import ask_for_second_factor, complete_second_factor
from app.notifications import notices
from app.notifications.notices import notify_of_use, sentence
from app.sessions import known_devices
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import revoke_all_sessions
from app.users import identities_of, lock_account

FAILED = N_(
    "Someone completed the first step of signing in ({method}) but entered five wrong codes in the second, so they "
    "weren't signed in. If that wasn't you, make sure that no one else has access to it."
)


def validate(code: str | int, client: ClientContext) -> tuple[AuthSession, StartedPending]:
    """Open the session of the client's pending sign-in if ``code`` is valid as its second factor.

    The code is counted before it is checked; the fifth wrong one ends the sign-in. Input in the wrong format isn't
    counted.
    :raises Rejected: ``two_factor_invalid_token`` on ``code``; ``two_factor_permission_denied`` if there is no pending
        sign-in, or it requires another step; ``two_factor_ended``; ``too_many_requests``
    """
    throttling.check("failures", client.ip_address)
    pending_sign_in = pending.get(client)
    if not pending_sign_in.row.method:
        raise Rejected("two_factor_permission_denied")
    if passcodes.tidy(code, passcodes.digits_of(pending_sign_in.row.method)) is None:
        raise Rejected("two_factor_invalid_token", field="code")
    tries = pending.count_try(pending_sign_in)
    if not tries:
        raise Rejected("two_factor_permission_denied")
    if pending_sign_in.row.state == second_factor.SETUP:
        factor = _set_up(pending_sign_in, code, client)
        return _open_session_after_setup(pending_sign_in, factor, client), pending_sign_in
    method, question_id = pending_sign_in.row.method, pending_sign_in.row.question_id
    verified = second_factor.verify_second_factor(
        pending_sign_in.user.id, method, question_id, enrolled_of(pending_sign_in.user.id), code, client
    )
    if isinstance(verified, VerificationFailure):
        raise _second_factor_failed(pending_sign_in, verified, tries, client)
    return complete_second_factor(pending_sign_in, verified, client), pending_sign_in


def trust_client(pending_sign_in: StartedPending, client: ClientContext) -> str:
    """Trust this client for ``LATCHKEY_TRUST_FOR``; return the token for an API client, "" for a browser.

    Call it after ``validate``, which makes a browser known.
    """
    if not settings.trust_for:
        return ""
    record("second_step.trusted", pending_sign_in.user.id)
    if not client.keeps_cookies:
        return known_devices.trust_api_client(pending_sign_in.user.id, client.user_agent)
    known_devices.trust_browser(pending_sign_in.user.id)
    return ""


def select(which: str, client: ClientContext) -> PendingState:
    """Request the second factor by the method ``which``, sending a code if the method sends one.

    :raises Rejected: ``invalid_choice`` on ``which``; ``two_factor_permission_denied``; ``too_many_requests``
    """
    throttling.take("starts", client.ip_address)
    pending_sign_in = pending.get(client)
    if pending_sign_in.row.state == second_factor.SETUP:
        raise Rejected("two_factor_permission_denied")
    if which not in pending_sign_in.choices:
        raise Rejected("invalid_choice", field="which")
    ask_for_second_factor(pending_sign_in, which, client)
    return PendingState(pending_sign_in.row)


def _set_up(pending_sign_in: StartedPending, code: str | int, client: ClientContext) -> VerifiedFactor:
    """Store a second factor that is set up while signing in, unless the account has one by now."""
    user, row = pending_sign_in.user, pending_sign_in.row
    fitting = methods_verifiable_by(code)
    challenge = challenges.count_try_of(row.question_id or "", user.id, second_factor.SETUP_PURPOSE, row.id, fitting)
    if challenge is None:
        raise Rejected("two_factor_setup_expired")
    lock_account(user.id)
    if not pending.lock(pending_sign_in) or any(
        second_factor.can_be_second_factor(each.method) for each in enrolled_of(user.id)
    ):
        raise Rejected("two_factor_permission_denied")
    try:
        enrollment_service.store(user, challenge, code, None, field="code", as_second=True)
    except Rejected as rejection:
        throttling.take("failures", client.ip_address)
        if rejection.code == "invalid_password_code":
            raise Rejected("two_factor_invalid_token", field="code") from None
        raise
    mark_second_factor(user.id, challenge.method)
    record("factor.added", user.id, challenge_id=challenge.id, method=challenge.method)
    record("second_step.on", user.id, method=challenge.method)
    signals.send(signals.tf_profile_changed, user=user, method=challenge.method)
    return VerifiedFactor(challenge.method, challenge)


def _open_session_after_setup(
    pending_sign_in: StartedPending, factor: VerifiedFactor, client: ClientContext
) -> AuthSession:
    """Open the session. As after any credential change, end all other sessions and notify the owner."""
    user_id = pending_sign_in.user.id
    revoke_browsers(user_id, keep=client.known_secrets)
    try:
        session = complete_second_factor(pending_sign_in, factor, client)
    except Rejected:
        db.session.rollback()  # it has just ended: don't keep the factor without the sign-in
        raise
    set_session(user_id, factor.method, session.session_id)  # reporting the session removes it
    revoke_all_sessions(user_id, except_id=session.session_id)
    what = sentence("Two-step verification was turned on: {method}.", method=sentence(titles()[factor.method]))
    notices.notify(user_id, what, client, session_id=session.session_id)
    return session


def _second_factor_failed(
    pending_sign_in: StartedPending, failure: VerificationFailure, tries: int, client: ClientContext
) -> Rejected:
    throttling.take("failures", client.ip_address)
    is_over = tries >= pending.TRIES
    facts: dict[str, Any] = {"reason": failure.reason, "method": pending_sign_in.row.method, "ended": is_over}
    record(
        "second_step.failed",
        pending_sign_in.user.id,
        challenge_id=pending_sign_in.row.answered_id,
        autocommit=True,
        **facts,
    )
    signals.send(signals.user_failed_authn, user=pending_sign_in.user, auth_type="code", tfa=True)
    if not is_over:
        return Rejected("two_factor_invalid_token", field="code")
    pending.end(client)
    if throttling.first_in_window("second_step.failed", str(pending_sign_in.user.id), client.ip_address):
        first = sentence(amr_titles().get(pending_sign_in.row.amr.split(",")[0], "First step"))
        notices.notify(pending_sign_in.user.id, sentence(FAILED, method=first), client)
    return Rejected("two_factor_ended", field="code")


def options(pending_sign_in: StartedPending) -> dict[str, str]:
    """Return the alternatives to the second factor, as paths by name. Email isn't one: it never replaces a factor.

    Recovery codes are included if the user has any left.
    """
    if pending_sign_in.row.state == second_factor.SETUP:
        return {}
    found = {recovery_codes.METHOD: "/mf-recovery"} if recovery_codes.count_of(pending_sign_in.user.id).left else {}
    return found | ({"help": "/tf-rescue"} if settings.support_mail else {})


def use_recovery_code(code: str | int, client: ClientContext) -> tuple[AuthSession, StartedPending]:
    """Open the session of the client's pending sign-in if ``code`` is one of the user's recovery codes.

    The code is counted before it is checked, both against the five tries of the sign-in and against the account's limit
    for recovery codes. Input in the wrong format isn't counted.
    :raises Rejected: ``invalid_recovery_code`` on ``code``; ``two_factor_permission_denied`` if there is no pending
        sign-in, or it requires setting up a factor; ``two_factor_ended``; ``too_many_requests``
    """
    throttling.check("failures", client.ip_address)
    pending_sign_in = pending.get(client)
    if pending_sign_in.row.state == second_factor.SETUP:
        raise Rejected("two_factor_permission_denied")
    if recovery_codes.read(code) is None:
        raise Rejected("invalid_recovery_code", field="code")
    tries = pending.count_try(pending_sign_in)
    if not tries:
        raise Rejected("two_factor_permission_denied")
    found = recovery_codes.find(pending_sign_in.user.id, code)
    if isinstance(found, VerificationFailure):
        raise _recovery_code_failed(pending_sign_in, found, tries, client)
    if not pending.lock(pending_sign_in):  # already used or ended: keep the recovery code
        raise Rejected("two_factor_permission_denied")
    factor = recovery_codes.use(found)
    if isinstance(factor, VerificationFailure):
        raise _recovery_code_failed(pending_sign_in, factor, tries, client)
    session = complete_second_factor(pending_sign_in, factor, client)
    notify_of_use(pending_sign_in.user.id, client, session.session_id)
    return session, pending_sign_in


def ask_for_help(client: ClientContext) -> StartedPending:
    """Email the administrators that a user can't provide the second factor, at most once per user and window.

    :raises Rejected: ``invalid_choice`` on ``help_setup`` if no support address is configured;
        ``two_factor_permission_denied``; ``too_many_requests``
    """
    throttling.take("starts", client.ip_address)
    pending_sign_in = pending.get(client)
    if not settings.support_mail:
        raise Rejected("invalid_choice", field="help_setup")
    if throttling.first_in_window("help", str(pending_sign_in.user.id), client.ip_address):
        whose = ", ".join(_without_links(identities_of(pending_sign_in.user.id)))
        facts: dict[str, Any] = {"whose": whose, "agent": client.user_agent, "address": client.ip_address}
        outbox.enqueue("help_asked", "mail", settings.support_mail, user_id=pending_sign_in.user.id, **facts)
        record("second_step.help_asked", pending_sign_in.user.id)
    return pending_sign_in


def _without_links(identities: Mapping[str, str]) -> list[str]:
    """Return the identities for an email. Rewrites dots in usernames, since mail clients would link host names."""
    return [value.replace(".", " dot ") if kind == "username" else value for kind, value in identities.items()]


def _recovery_code_failed(
    pending_sign_in: StartedPending, failure: VerificationFailure, tries: int, client: ClientContext
) -> Rejected:
    throttling.take("failures", client.ip_address)
    is_over = tries >= pending.TRIES
    facts = {"reason": failure.reason, "method": recovery_codes.METHOD, "ended": is_over}
    record(
        "second_step.failed",
        pending_sign_in.user.id,
        challenge_id=pending_sign_in.row.answered_id,
        autocommit=True,
        **facts,
    )
    signals.send(signals.user_failed_authn, user=pending_sign_in.user, auth_type=recovery_codes.METHOD, tfa=True)
    if not is_over:
        return Rejected("invalid_recovery_code", field="code")
    pending.end(client)
    return Rejected("two_factor_ended", field="code")
