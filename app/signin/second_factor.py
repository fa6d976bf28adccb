"""The second step: a code verifies it, and the pending sign-in becomes a session."""

from __future__ import annotations

from typing import Any

from app import throttling
from app.audit import record, signals
from app.authenticators import enrollment_service
from app.authenticators.base import VerifiedFactor
from app.authenticators.enrollments import enrolled_of, mark_second, note_session
from app.authenticators.presenters import TITLES
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.diagnosis import VerificationFailure
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import db, settings
from app.login import completion, pending, second_factor
from app.login.pending import PendingState, StartedPending
from app.notifications import notices
from app.sessions import known_devices
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import revoke_all_sessions
from app.users import lock_account

FAILED = (
    "Somebody got as far as the second step of signing in, and gave five wrong codes there. Nothing was opened. "
    "The first proof was right: {first}. If that was not you, see that nobody else has it."
)


def validate(code: str | int, client: ClientContext) -> tuple[AuthSession, StartedPending]:
    """Open the session of the sign-in under way, if ``code`` proves its second step.

    The code is counted before it is looked at; the fifth wrong one ends the sign-in. What cannot be a code
    is not counted.
    :raises Rejected: ``two_factor_invalid_token`` on ``code``; ``two_factor_permission_denied`` when none is under
        way, or another step is due; ``two_factor_ended``; ``too_many_requests``
    """
    throttling.allow("failures", client.ip_address)
    waiting = pending.get(client)
    if not waiting.row.method:
        raise Rejected("two_factor_permission_denied")
    if passcodes.tidy(code, passcodes.digits_of(waiting.row.method)) is None:
        raise Rejected("two_factor_invalid_token", field="code")
    tries = pending.count_try(waiting)
    if not tries:
        raise Rejected("two_factor_permission_denied")
    if waiting.row.state == second_factor.SETUP:
        return _enrolled_and_in(waiting, _set_up(waiting, code, client), client), waiting
    method, question_id = waiting.row.method, waiting.row.question_id
    proof = second_factor.verify_second_factor(
        waiting.user.id, method, question_id, enrolled_of(waiting.user.id), code, client
    )
    if isinstance(proof, VerificationFailure):
        raise _missed(waiting, proof, tries, client)
    return completion.complete(waiting, proof, client), waiting


def trust_here(waiting: StartedPending, client: ClientContext) -> str:
    """Skip the second step of this account here for ``LATCHKEY_TRUST_FOR``; return a program's token, "" for a browser.

    After ``validate``, which has made a browser known.
    """
    if not settings.trust_for:
        return ""
    record("second_step.trusted", waiting.user.id)
    if not client.keeps_cookies:
        return known_devices.trust_program(waiting.user.id, client.user_agent)
    known_devices.trust_browser(waiting.user.id)
    return ""


def select(which: str, client: ClientContext) -> PendingState:
    """Ask for the second step by ``which``; a code that is sent goes out.

    :raises Rejected: ``invalid_choice`` on ``which``; ``two_factor_permission_denied``; ``too_many_requests``
    """
    throttling.take("starts", client.ip_address)
    waiting = pending.get(client)
    if waiting.row.state == second_factor.SETUP:
        raise Rejected("two_factor_permission_denied")
    if which not in waiting.choices:
        raise Rejected("invalid_choice", field="which")
    completion.ask(waiting, which, client)
    return PendingState(waiting.row)


def _set_up(waiting: StartedPending, code: str | int, client: ClientContext) -> VerifiedFactor:
    """Store the second factor that is set up on the way in, unless the account has got one meanwhile."""
    user, row = waiting.user, waiting.row
    fitting = passcodes.methods_fitting(code)
    challenge = challenges.count_try_of(row.question_id or "", user.id, second_factor.SETUP_PURPOSE, row.id, fitting)
    if challenge is None:
        raise Rejected("two_factor_setup_expired")
    lock_account(user.id)
    if not pending.hold(waiting) or any(each.method in second_factor.SECONDS for each in enrolled_of(user.id)):
        raise Rejected("two_factor_permission_denied")
    try:
        enrollment_service.store(user, challenge, code, None, field="code", as_second=True)
    except Rejected as refused:
        throttling.take("failures", client.ip_address)
        if refused.code == "invalid_password_code":
            raise Rejected("two_factor_invalid_token", field="code") from None
        raise
    mark_second(user.id, challenge.method)
    record("factor.added", user.id, challenge_id=challenge.id, method=challenge.method)
    record("second_step.on", user.id, method=challenge.method)
    signals.send(signals.tf_profile_changed, user=user, method=challenge.method)
    return VerifiedFactor(challenge.method, challenge)


def _enrolled_and_in(waiting: StartedPending, proof: VerifiedFactor, client: ClientContext) -> AuthSession:
    """Open the session; as after any change of what is asked for, every other one ends, and the owner is told."""
    user_id = waiting.user.id
    revoke_browsers(user_id, but=client.known_secrets)
    try:
        session = completion.complete(waiting, proof, client)
    except Rejected:
        db.session.rollback()  # it ended at this very moment, and a factor must not stay without its sign-in
        raise
    note_session(user_id, proof.method, session.session_id)  # so that who denies the session takes it back
    revoke_all_sessions(user_id, but=session.session_id)
    what = f"Signing in asks for a second step from now on: {TITLES[proof.method]}."
    notices.notify(user_id, what, client, session_id=session.session_id)
    return session


def _missed(waiting: StartedPending, miss: VerificationFailure, tries: int, client: ClientContext) -> Rejected:
    throttling.take("failures", client.ip_address)
    is_over = tries >= pending.TRIES
    facts: dict[str, Any] = {"reason": miss.reason, "method": waiting.row.method, "ended": is_over}
    record("second_step.failed", waiting.user.id, challenge_id=waiting.row.answered_id, at_once=True, **facts)
    signals.send(signals.user_failed_authn, user=waiting.user, auth_type="code", tfa=True)
    if not is_over:
        return Rejected("two_factor_invalid_token", field="code")
    pending.end(client)
    if throttling.is_news("second_step.failed", str(waiting.user.id), client.ip_address):
        first = TITLES.get(waiting.row.amr.split(",")[0], "The first proof")
        notices.notify(waiting.user.id, FAILED.format(first=first), client)
    return Rejected("two_factor_ended", field="code")
