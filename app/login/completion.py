"""The end of every sign-in: a session is created, or the sign-in waits for its second factor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.audit import record, signals
from app.authenticators.base import VerifiedFactor
from app.authenticators.enrollments import enrolled_of
from app.challenges import service as challenges
from app.challenges.service import ChallengeRequest
from app.client import ClientContext
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import settings
from app.login import lookup, pending, second_factor
from app.login.pending import PendingState, StartedPending
from app.login.sessions import create_login_session
from app.sessions import known_devices
from app.sessions.models import AuthSession
from app.throttling import by_account
from app.users import User


def complete_login(
    user: User,
    proof: VerifiedFactor,
    client: ClientContext,
    *,
    remember: bool,
    has_second: bool,
    enrolled: Sequence[Enrollment] | None = None,
    seen_at: datetime | None = None,
    next_page: str = "",
) -> AuthSession | PendingState:
    """Open the session that ``proof`` earns, or park the sign-in until its second step is taken.

    :param has_second: whether a method of the user's is a second factor, as some statement found along the way
    :param enrolled: all they have set up, where it is at hand; looked up only where a second step may be due
    :param seen_at: when they last signed in from this browser, where that was looked up already
    :param next_page: where the person was going
    :raises Rejected: ``confirmation_required`` when a second factor must be set up and no address was proved
    """
    answered = proof.challenge.id if proof.challenge else None
    via = f"{proof.method},uv" if proof.method == "webauthn" and proof.verified else proof.method
    step = None
    if second_factor.is_due_after(proof) and (has_second or settings.second_factor == "required"):
        step = second_factor.step_after(proof, enrolled if enrolled is not None else enrolled_of(user.id))
    if (
        step is not None
        and step.state != second_factor.SETUP
        and known_devices.use_trust(user.id, client.known_secrets)
    ):
        record("second_step.skipped", user.id, challenge_id=answered, method=proof.method)
        step = None
    if step is None:
        pending.end(client)
        return create_login_session(
            user, via, client,
            remember=remember, seen_at=seen_at, challenge_id=answered, guess=proof.guess, held=proof.held,
        )  # fmt: skip
    if step.state == second_factor.SETUP and user.confirmed_at is None:
        raise Rejected("confirmation_required")
    if proof.guess is not None:
        by_account.refund(proof.guess)
    begun: dict[str, Any] = {"answered_id": answered, "remember": remember, "next_page": next_page}
    parked = pending.start(user, via, step.state, step.choices, client, **begun)
    record("second_step.asked", user.id, challenge_id=answered, method=proof.method)
    if parked.row.method:
        ask(StartedPending(parked.row, user), parked.row.method, client)
    return parked


def ask(waiting: StartedPending, method: str, client: ClientContext) -> None:
    """Ask for the second step by ``method``: send its code, where it sends one."""
    question_id = None
    if method == "sms":
        reached = lookup.destination_of_user(waiting.user.id, method)
        if reached is None or reached.enrolled is None or not reached.destination:
            raise Rejected("two_factor_method_not_available", field="which")
        signals.send(signals.tf_security_token_sent, user=waiting.user, method=method)
        where: dict[str, Any] = {"destination": reached.destination, "enrolled": reached.enrolled}
        question = ChallengeRequest(
            second_factor.PURPOSE, method, waiting.user.id, "", **where, letter="second", is_known=True
        )
        question_id = challenges.issue_challenge(question, client).id
    pending.note_question(waiting, method, question_id, second_factor.READY)


def complete(waiting: StartedPending, proof: VerifiedFactor, client: ClientContext) -> AuthSession:
    """Open the session of a sign-in whose second step was proved, by ``proof``; of two at once one gets it.

    :raises Rejected: ``two_factor_permission_denied`` when it has ended meanwhile
    """
    row = waiting.row
    if not pending.use_up(waiting):
        raise Rejected("two_factor_permission_denied")
    if proof.guess is not None:
        by_account.refund(proof.guess)
    second_factor.forget_misses(waiting.user.id)
    then = f"{proof.method},uv" if proof.method == "webauthn" and proof.verified else proof.method
    session = create_login_session(
        waiting.user, row.amr, client,
        remember=row.remember, challenge_id=row.answered_id, then=then, held=proof.held,
    )  # fmt: skip
    signals.send(signals.tf_code_confirmed, user=waiting.user, method=proof.method)
    return session
