"""The tail of every sign-in: a session is opened, or the sign-in waits for its second step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.audit import record, signals
from app.extensions import settings
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import challenges, reaching, second
from app.methods.challenges import Question
from app.methods.enrollment import enrolled_of
from app.methods.models import EnrolledMethod
from app.methods.proving import Proof
from app.sessions import guesses, pending, trust
from app.sessions.models import AuthSession
from app.sessions.pending import Parked, Waiting
from app.sessions.signing_in import sign_in_as
from app.users import User


def arrive(
    user: User,
    proof: Proof,
    asker: Asker,
    *,
    remember: bool,
    has_second: bool,
    enrolled: Sequence[EnrolledMethod] | None = None,
    seen_at: datetime | None = None,
    next_page: str = "",
) -> AuthSession | Parked:
    """Open the session that ``proof`` earns, or park the sign-in until its second step is taken.

    :param has_second: whether a method of the user's is a second factor, as some statement found along the way
    :param enrolled: all they have set up, where it is at hand; looked up only where a second step may be due
    :param seen_at: when they last signed in from this browser, where that was looked up already
    :param next_page: where the person was going
    :raises Refused: ``confirmation_required`` when a second factor must be set up and no address was proved
    """
    answered = proof.challenge.id if proof.challenge else None
    via = f"{proof.method},uv" if proof.method == "webauthn" and proof.verified else proof.method
    step = None
    if second.is_due_after(proof) and (has_second or settings.second_factor == "required"):
        step = second.step_after(proof, enrolled if enrolled is not None else enrolled_of(user.id))
    if step is not None and step.state != second.SETUP and trust.use_trust(user.id, asker.known):
        record("second_step.skipped", user.id, challenge_id=answered, method=proof.method)
        step = None
    if step is None:
        pending.end(asker)
        return sign_in_as(
            user, via, asker,
            remember=remember, seen_at=seen_at, challenge_id=answered, guess=proof.guess, held=proof.held,
        )  # fmt: skip
    if step.state == second.SETUP and user.confirmed_at is None:
        raise Refused("confirmation_required")
    if proof.guess is not None:
        guesses.give_back(proof.guess)
    begun: dict[str, Any] = {"answered_id": answered, "remember": remember, "next_page": next_page}
    parked = pending.park(user, via, step.state, step.choices, asker, **begun)
    record("second_step.asked", user.id, challenge_id=answered, method=proof.method)
    if parked.row.method:
        ask(Waiting(parked.row, user), parked.row.method, asker)
    return parked


def ask(waiting: Waiting, method: str, asker: Asker) -> None:
    """Ask for the second step by ``method``: send its code, where it sends one."""
    question_id = None
    if method == "sms":
        reached = reaching.reach_user(waiting.user.id, method)
        if reached is None or reached.enrolled is None or not reached.destination:
            raise Refused("two_factor_method_not_available", field="which")
        signals.send(signals.tf_security_token_sent, user=waiting.user, method=method)
        where: dict[str, Any] = {"destination": reached.destination, "enrolled": reached.enrolled}
        question = Question(second.PURPOSE, method, waiting.user.id, "", **where, letter="second", is_known=True)
        question_id = challenges.ask(question, asker).id
    pending.note_question(waiting, method, question_id, second.READY)


def complete(waiting: Waiting, proof: Proof, asker: Asker) -> AuthSession:
    """Open the session of a sign-in whose second step was proved, by ``proof``; of two at once one gets it.

    :raises Refused: ``two_factor_permission_denied`` when it has ended meanwhile
    """
    row = waiting.row
    if not pending.use_up(waiting):
        raise Refused("two_factor_permission_denied")
    if proof.guess is not None:
        guesses.give_back(proof.guess)
    second.forget_misses(waiting.user.id)
    then = f"{proof.method},uv" if proof.method == "webauthn" and proof.verified else proof.method
    session = sign_in_as(
        waiting.user, row.amr, asker,
        remember=row.remember, challenge_id=row.answered_id, then=then, held=proof.held,
    )  # fmt: skip
    signals.send(signals.tf_code_confirmed, user=waiting.user, method=proof.method)
    return session
