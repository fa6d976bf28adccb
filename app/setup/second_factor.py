"""Set up second factors: enroll a new one or use an existing method, and turn two-step verification off."""

from __future__ import annotations

from app import clock, throttling
from app.audit import record, signals
from app.authenticators import assurance, enrollment_service, enrollments
from app.authenticators.enrollment_service import PendingEnrollment
from app.authenticators.presenters import titles
from app.authenticators.registry import authenticator_of, methods_verifiable_by
from app.authenticators.webauthn.passkeys import signs_in_alone
from app.challenges import service as challenges
from app.challenges.models import Challenge, challenge_id_in, challenge_token_of
from app.challenges.service import ChallengeRequest
from app.client import ClientContext
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import settings
from app.login import pending, second_factor
from app.login.credential_changes import lock_credentials, revoke_other_sessions
from app.login.freshness import freshen
from app.login.pending import StartedPending
from app.notifications import notices
from app.notifications.notices import sentence
from app.sessions.models import AuthSession
from app.throttling import by_account
from app.users import User, identities_of

EXISTING = "existing"
"""Takes the place of the identity in a challenge, to keep verifying an existing method apart from enrolling one."""


def begin(
    user: User, session: AuthSession, method: str, phone: str | None, client: ClientContext, *, existing: bool = False
) -> PendingEnrollment:
    """Start making ``method`` a second factor: a new one, or with ``existing`` the one that is already set up.

    The user's own phone number counts as existing even without the flag. Nothing changes until this session verifies
    it.
    :raises Rejected: ``two_factor_method_not_available`` or ``two_factor_only_way`` on ``setup``; ``phone_invalid`` and
        other errors of a number on ``phone``; ``too_many_requests``
    """
    enrolled = enrollments.enrolled_of(user.id)
    _check_allowed(user, method, enrolled)
    throttling.take("starts", client.ip_address)
    mine = identities_of(user.id)
    row = next((each for each in enrolled if each.method == method), None)
    if row is not None and (existing or authenticator_of(method).is_own(phone, mine)):
        traits = method_of(method)
        challenge_request = ChallengeRequest(
            second_factor.SETUP_PURPOSE, method, user.id, EXISTING, mine.get(traits.reaches, ""), row,
            lifetime=settings.us_setup_within, message_kind="second" if traits.sends else "",
            session_id=session.session_id, is_known=True,
        )  # fmt: skip
        begun = PendingEnrollment(
            challenges.issue_challenge(challenge_request, client), enrollment_service.account_name(mine)
        )
    else:
        begun = enrollment_service.begin(user, method, phone, second_factor.SETUP_PURPOSE, session.session_id, client)
    _signal_sent(user, method)
    return begun


def begin_during_sign_in(
    pending_sign_in: StartedPending, method: str, phone: str | None, client: ClientContext
) -> PendingEnrollment:
    """Start setting up the second factor that this sign-in requires; its code goes to ``/tf-validate``.

    :raises Rejected: as ``begin``; ``two_factor_permission_denied`` if the account has a second factor by now
    """
    user = pending_sign_in.user
    enrolled = enrollments.enrolled_of(user.id)
    if pending_sign_in.row.state != second_factor.SETUP or any(row.is_second for row in enrolled):
        raise Rejected("two_factor_permission_denied")
    _check_allowed(user, method, enrolled)
    throttling.take("starts", client.ip_address)
    begun = enrollment_service.begin(user, method, phone, second_factor.SETUP_PURPOSE, pending_sign_in.row.id, client)
    _signal_sent(user, method)
    pending.record_challenge(pending_sign_in, method, begun.challenge.id, second_factor.SETUP)
    return begun


def find_pending(user: User, session: AuthSession, state: str) -> PendingEnrollment | None:
    """Return the enrollment ``state`` if this session can still verify it."""
    return enrollment_service.find_pending(user, state, second_factor.SETUP_PURPOSE, session.session_id)


def pending_during_sign_in(pending_sign_in: StartedPending) -> PendingEnrollment | None:
    """Return the enrollment that this sign-in has started, while it can still be verified."""
    if pending_sign_in.row.question_id is None:
        return None
    return enrollment_service.find_pending(
        pending_sign_in.user,
        challenge_token_of(pending_sign_in.row.question_id),
        second_factor.SETUP_PURPOSE,
        pending_sign_in.row.id,
    )


def confirm(
    user: User, session: AuthSession, state: str, code: str | int, client: ClientContext, name: str = ""
) -> Challenge:
    """Require the method ``state`` as a second factor from now on, if ``code`` verifies it.

    All other sessions end, and no browser stays trusted.
    :param name: of a new authenticator app; "" for the default. Validated before the attempt is counted
    :raises Rejected: ``api_error`` or ``two_factor_setup_expired`` on the form; ``two_factor_invalid_token`` on
        ``code``; the validation error of ``name``; the errors of ``begin``
    """
    challenge_id = challenge_id_in(state) or ""
    name = enrollment_service.checked_name(user, challenge_id, second_factor.SETUP_PURPOSE, name)
    fitting = methods_verifiable_by(code)
    challenge = challenges.count_try_of(challenge_id, user.id, second_factor.SETUP_PURPOSE, session.session_id, fitting)
    if challenge is None:
        raise _reworded(
            enrollment_service.enrollment_error(
                user, challenge_id, second_factor.SETUP_PURPOSE, session.session_id, "code"
            )
        )
    login_attempt = by_account.reserve(user.id, "", session_id=session.session_id)
    if login_attempt is None:
        raise Rejected("two_factor_invalid_token", field="code")
    lock_credentials(user, session)
    enrolled = enrollments.enrolled_of(user.id)
    _check_allowed(user, challenge.method, enrolled)
    in_cooldown = _verify_and_store(user, challenge, enrolled, code, session, name)
    by_account.refund(login_attempt)
    enrollments.mark_second_factor(user.id, challenge.method)
    freshen(session, challenge.method, in_cooldown=in_cooldown)
    revoke_other_sessions(user, session, client)
    _record_and_notify(user, session, "second_step.on", challenge.method, client, challenge.id)
    signals.send(signals.tf_profile_changed, user=user, method=challenge.method)
    return challenge


def disable(user: User, session: AuthSession, client: ClientContext) -> None:
    """Turn off two-step verification for this user. What was a second factor remains a sign-in method.

    :raises Rejected: ``two_factor_method_not_available`` on ``setup`` where a second factor is required
    """
    if settings.second_factor == "required":
        raise Rejected("two_factor_method_not_available", field="setup")
    lock_credentials(user, session)
    if enrollments.unmark_second_factors(user.id):
        revoke_other_sessions(user, session, client)
        _record_and_notify(user, session, "second_step.off", "", client)
        signals.send(signals.tf_disabled, user=user)


def _signal_sent(user: User, method: str) -> None:
    if method_of(method).sends:
        signals.send(signals.tf_security_token_sent, user=user, method=method)


def _check_allowed(user: User, method: str, enrolled: list[Enrollment]) -> None:
    if (
        method not in second_factor.enabled_second_factors()
        or method_of(method).has_own_pages
        or settings.second_factor == "off"
    ):
        raise Rejected("two_factor_method_not_available", field="setup")
    if user.confirmed_at is None:
        raise Rejected("confirmation_required", field="setup")
    marked = [row.method for row in enrolled if row.is_second]
    adding = method
    if not method_of(
        method
    ).usable_alone_as_second:  # as a second factor it can't sign in alone, unless its owner allowed it (ADR 37)
        enrolled, adding = [row for row in enrolled if row.method != method or row.signs_in], ""
    if not second_factor.can_still_sign_in(enrolled, [*marked, method], adding=adding) and not signs_in_alone(user.id):
        raise Rejected("two_factor_only_way", field="setup")


def _verify_and_store(
    user: User, challenge: Challenge, enrolled: list[Enrollment], code: str | int, session: AuthSession, name: str
) -> bool:
    """Verify ``code`` and store a new app or phone; return whether the method is in its cooldown."""
    if challenge.secret:
        weak_until = assurance.cooldown_end(session, enrolled)
        try:
            enrollment_service.store(
                user, challenge, code, session.session_id, "code", weak_until=weak_until, as_second=True, name=name
            )
        except Rejected as rejection:
            raise _reworded(rejection) from None
        record("factor.added", user.id, challenge_id=challenge.id, method=challenge.method)
        return weak_until is not None
    rows = [row for row in enrolled if row.method == challenge.method]
    verified = authenticator_of(challenge.method).verify_existing(challenge, rows, code)
    if verified is None:
        record(
            "challenge.failed", user.id, challenge_id=challenge.id,
            reason="wrong_code", purpose=challenge.purpose, method=challenge.method,
        )  # fmt: skip
        raise Rejected("two_factor_invalid_token", field="code")
    if not challenges.spend(challenge):
        raise Rejected("api_error")
    return verified.in_cooldown(clock.now())


def _reworded(rejection: Rejected) -> Rejected:
    """Return a setup error with the code that second-factor setup uses."""
    words = {"invalid_password_code": "two_factor_invalid_token", "us_setup_expired": "two_factor_setup_expired"}
    return Rejected(words.get(rejection.code, rejection.code), rejection.field, rejection.status, **rejection.facts)


def _record_and_notify(
    user: User, session: AuthSession, event: str, name: str, client: ClientContext, challenge_id: str | None = None
) -> None:
    record(event, user.id, challenge_id=challenge_id, method=name)
    off = sentence("Two-step verification was turned off.")
    on = sentence("Two-step verification was turned on: {method}.", method=sentence(titles()[name])) if name else off
    notices.notify(user.id, on, client, session_id=session.session_id)
