"""Reauthentication: freshen a session with any of the user's methods."""

from __future__ import annotations

from app import throttling
from app.audit import record, signals
from app.authenticators import enrollments, recovery_codes
from app.authenticators.base import VerifiedFactor
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.challenges.service import ChallengeRequest, issue_challenge
from app.client import ClientContext
from app.enrollments.methods import code_methods
from app.errors import Rejected
from app.login import lookup
from app.login.freshness import freshen
from app.login.verification import verify_passcode
from app.notifications.notices import notify_of_use
from app.sessions.models import AuthSession
from app.sessions.store import renew_token
from app.throttling.by_account import refund
from app.users import User

PURPOSE = "verify"


def send_code(user: User, method: str, client: ClientContext) -> Challenge:
    """Send a passcode to the signed-in user.

    :raises Rejected: ``us_method_not_available`` if they don't have this method; ``too_many_requests``
    """
    throttling.take("starts", client.ip_address)
    recipient = lookup.recipient_of(user.id, method) if method in code_methods() else None
    if recipient is None or not recipient.can_receive:
        raise Rejected("us_method_not_available", field="chosen_method")
    signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=False)
    challenge_request = ChallengeRequest(
        PURPOSE, method, user.id, "", recipient.destination, recipient.enrolled, message_kind="verify", is_known=True
    )
    return issue_challenge(challenge_request, client)


def verify(user: User, session: AuthSession, passcode: str | int, client: ClientContext) -> None:
    """Freshen ``session`` if ``passcode`` is valid for one of the user's methods. Renews the session cookie.

    :raises Rejected: ``invalid_password_code`` on ``passcode``; ``too_many_requests``
    """
    throttling.check("failures", client.ip_address)
    factor = _verify_any(user, session, passcode, client)
    if isinstance(factor, VerificationFailure) or factor.pending:
        throttling.take("failures", client.ip_address)
        failure = factor if isinstance(factor, VerificationFailure) else VerificationFailure("refused")
        record(
            "sign_in.failed", user.id, challenge_id=failure.challenge_id, autocommit=True,
            reason=failure.reason, error="invalid_password_code", purpose=PURPOSE,
        )  # fmt: skip
        signals.send(signals.user_failed_authn, user=user, auth_type="passcode", tfa=False)
        raise Rejected("invalid_password_code", field="passcode")
    if factor.login_attempt is not None:
        refund(factor.login_attempt)
    freshen(session, factor.method, in_cooldown=factor.in_cooldown)
    if session.kind == "browser":
        renew_token(session)
    record("sign_in.step_up", user.id, challenge_id=factor.challenge_id, method=factor.method)


def _verify_any(
    user: User, session: AuthSession, passcode: str | int, client: ClientContext
) -> VerifiedFactor | VerificationFailure:
    """Verify a passcode, first as a recovery code if it has that format, then as any other, since it may be a password.

    If it matches one of the user's recovery codes, used or not, it isn't tried as a password: after trying to use the
    code, this request may hold SQLite's write lock, so neither a slow hash nor an immediately committed count may
    follow.
    """
    if recovery_codes.read(passcode) is not None:
        found = recovery_codes.find(user.id, passcode)
        if isinstance(found, recovery_codes.Found):
            by_code = recovery_codes.use(found)
            if isinstance(by_code, VerifiedFactor):
                notify_of_use(user.id, client, session.session_id)
            return by_code
    return verify_passcode(
        PURPOSE, user.id, "", enrollments.enrolled_of(user.id), passcode, client, session_id=session.session_id
    )
