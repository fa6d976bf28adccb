"""Prove again: freshen a session by any method its user has."""

from __future__ import annotations

from typing import Any

from app import limits
from app.audit import record, signals
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import Challenge, enrollment, reaching, recovery_codes
from app.methods.challenges import Question, ask
from app.methods.explaining import Miss
from app.methods.proving import Proof, prove
from app.methods.registry import code_methods
from app.sessions.freshness import freshen
from app.sessions.guesses import give_back
from app.sessions.models import AuthSession
from app.sessions.opening import renew_token
from app.users import User

PURPOSE = "verify"


def send_code(user: User, method: str, asker: Asker) -> Challenge:
    """Send a passcode to the signed-in user.

    :raises Refused: ``us_method_not_available`` when they have no such method
    """
    limits.take("starts", asker.address)
    reached = reaching.reach_user(user.id, method) if method in code_methods() else None
    if reached is None or reached.enrolled is None or not reached.destination:
        raise Refused("us_method_not_available", field="chosen_method")
    signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=False)
    where: dict[str, Any] = {"destination": reached.destination, "enrolled": reached.enrolled}
    return ask(Question(PURPOSE, method, user.id, "", **where, letter="verify", is_known=True), asker)


def verify(user: User, session: AuthSession, passcode: str | int, asker: Asker) -> None:
    """Freshen ``session`` if ``passcode`` answers one of the user's methods; its cookie changes.

    :raises Refused: ``invalid_password_code`` on ``passcode``; ``too_many_requests``
    """
    limits.allow("failures", asker.address)
    proof = _proof(user, session, passcode, asker)
    if isinstance(proof, Miss) or proof.pending:
        limits.take("failures", asker.address)
        miss = proof if isinstance(proof, Miss) else Miss("refused")
        facts: dict[str, Any] = {"reason": miss.reason, "error": "invalid_password_code", "purpose": PURPOSE}
        record("sign_in.failed", user.id, challenge_id=miss.challenge_id, at_once=True, **facts)
        signals.send(signals.user_failed_authn, user=user, auth_type="passcode", tfa=False)
        raise Refused("invalid_password_code", field="passcode")
    if proof.guess is not None:
        give_back(proof.guess)
    freshen(session, proof.method, held=proof.held)
    if session.kind == "browser":
        renew_token(session)
    answered = proof.challenge.id if proof.challenge else None
    record("sign_in.step_up", user.id, challenge_id=answered, method=proof.method)


def _proof(user: User, session: AuthSession, passcode: str | int, asker: Asker) -> Proof | Miss:
    """Look at what could be a recovery code as one; a password may look like that as well, so then as any passcode."""
    if recovery_codes.read(passcode) is not None:
        by_code = recovery_codes.prove(user.id, passcode)
        if isinstance(by_code, Proof):
            recovery_codes.tell_of_use(user.id, asker, session.family)
            return by_code
    return prove(PURPOSE, user.id, "", enrollment.enrolled_of(user.id), passcode, asker, family=session.family)
