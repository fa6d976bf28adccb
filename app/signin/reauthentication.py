"""Reauthentication: freshen a session by any method its user has."""

from __future__ import annotations

from app import throttling
from app.audit import record, signals
from app.authenticators import enrollments, recovery_codes
from app.authenticators.base import VerifiedFactor
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.challenges.service import ChallengeRequest, issue_challenge
from app.client import ClientContext
from app.enrollments.catalog import code_methods
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

    :raises Rejected: ``us_method_not_available`` when they have no such method
    """
    throttling.take("starts", client.ip_address)
    reached = lookup.destination_of_user(user.id, method) if method in code_methods() else None
    if reached is None or reached.enrolled is None or not reached.destination:
        raise Rejected("us_method_not_available", field="chosen_method")
    signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=False)
    challenge_request = ChallengeRequest(
        PURPOSE, method, user.id, "", reached.destination, reached.enrolled, letter="verify", is_known=True
    )
    return issue_challenge(challenge_request, client)


def verify(user: User, session: AuthSession, passcode: str | int, client: ClientContext) -> None:
    """Freshen ``session`` if ``passcode`` answers one of the user's methods; its cookie changes.

    :raises Rejected: ``invalid_password_code`` on ``passcode``; ``too_many_requests``
    """
    throttling.allow("failures", client.ip_address)
    proof = _proof(user, session, passcode, client)
    if isinstance(proof, VerificationFailure) or proof.pending:
        throttling.take("failures", client.ip_address)
        miss = proof if isinstance(proof, VerificationFailure) else VerificationFailure("refused")
        record(
            "sign_in.failed", user.id, challenge_id=miss.challenge_id, at_once=True,
            reason=miss.reason, error="invalid_password_code", purpose=PURPOSE,
        )  # fmt: skip
        signals.send(signals.user_failed_authn, user=user, auth_type="passcode", tfa=False)
        raise Rejected("invalid_password_code", field="passcode")
    if proof.login_attempt is not None:
        refund(proof.login_attempt)
    freshen(session, proof.method, held=proof.held)
    if session.kind == "browser":
        renew_token(session)
    record("sign_in.step_up", user.id, challenge_id=proof.challenge_id, method=proof.method)


def _proof(
    user: User, session: AuthSession, passcode: str | int, client: ClientContext
) -> VerifiedFactor | VerificationFailure:
    """Look at what could be a recovery code as one; a password may look like that as well, so then as any passcode.

    What is one of the user's codes, used up or not, is no password: once its use was tried, this request may have
    SQLite's write lock, and neither a slow hash nor a guess that is counted at once may follow.
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
