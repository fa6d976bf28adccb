"""Second factors: what counts as one, when one is due, and whether a code proves it.

A second factor is of another kind than what was proved first. Mail is none: it is where most first proofs come from,
and no standard takes it for a factor of its own (ASVS 6.3.6, NIST SP 800-63B 3.1.3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from app.audit import record
from app.extensions import changed, db, settings
from app.kit import clock
from app.kit.asking import Asker
from app.kit.sealing import CannotOpen
from app.methods import authenticator, challenges, codes
from app.methods.explaining import Miss
from app.methods.handles import handle_of
from app.methods.models import Challenge, EnrolledMethod
from app.methods.proving import Proof
from app.methods.registry import active_methods, enabled_methods
from app.sessions import guesses
from app.sessions.known import known_as
from app.users import subject_of

PURPOSE = "second"
"""Of the challenge by which a second step's code is sent."""

SETUP_PURPOSE = "second_setup"
"""Of the challenge by which a second factor is set up."""

SECONDS = ("webauthn", "authenticator", "sms")
"""Methods that can be a second factor, the strongest first."""

READY, SELECT, SETUP = "ready", "select", "setup_from_login"


@dataclass(frozen=True, slots=True)
class Step:
    """The second step that is due.

    :ivar choices: methods that will do; none where the account has none of another kind than what was proved
    """

    state: str
    choices: list[str]


def is_due_after(proof: Proof) -> bool:
    """Say whether the first factor calls for a second step, for any account.

    A passkey in its cooldown does: it opens no account that asks for two.
    """
    if settings.second_factor == "off":
        return False
    if proof.held or proof.verified:
        return proof.held
    return ("email" if proof.method == "confirm" else proof.method) in settings.second_factor_for


def step_after(proof: Proof, enrolled: Sequence[EnrolledMethod]) -> Step | None:
    """Return the second step that is due after ``proof`` of somebody who has set ``enrolled`` up, or None.

    Where everybody must take one, whatever they have set up will do; only who has nothing that could is asked to set
    one up on the way in.
    """
    marked = [row for row in enrolled if row.is_second]
    is_required = settings.second_factor == "required"
    if not is_due_after(proof) or not (marked or is_required):
        return None
    now = clock.now()
    able = [row.method for row in marked or enrolled if not row.is_pending and not row.in_cooldown(now)]
    choices = [name for name in seconds_enabled() if name in able and name != proof.method]
    if choices:
        return Step(READY if len(choices) == 1 else SELECT, choices)
    has_other_ways = bool(set(active_methods(enrolled)) - {"email" if proof.method == "confirm" else proof.method})
    planted = marked or (has_other_ways and any(row.method in SECONDS for row in enrolled))
    return Step(SELECT, []) if planted else Step(SETUP, [])


def seconds_enabled() -> list[str]:
    """Return the second factors that the operator allows, the strongest first."""
    able = {*enabled_methods(), *["webauthn"] * settings.can_use_passkeys}
    return [name for name in SECONDS if name in able]


def leaves_a_way_in(enrolled: Sequence[EnrolledMethod], seconds: Sequence[str], *, adding: str = "") -> bool:
    """Say whether who has ``enrolled``, and ``adding``, could come in if they were asked for one of ``seconds``."""
    firsts = [name for name in enabled_methods() if name in {*active_methods(enrolled), adding}]
    needy = [name for name in firsts if name in settings.second_factor_for]
    return len(needy) < len(firsts) or any(second != first for first in needy for second in seconds)


def prove(
    user_id: int,
    method: str,
    question_id: str | None,
    enrolled: Sequence[EnrolledMethod],
    code: str | int,
    asker: Asker,
) -> Proof | Miss:
    """Return what ``code`` proves as a second step by ``method``, or why it proves nothing.

    The guess is counted before it is looked at: of the account's second steps, apart from its first proofs, and of
    its authenticator apps, of which each stops after ``LATCHKEY_FAILURES_IN_A_ROW`` until another factor succeeds.
    However many apps there are, it is one guess and one statement.
    :param question_id: the challenge by which the code was sent, if it was; no other will do
    """
    browser = known_as(user_id, asker.known)
    guess = guesses.reserve(user_id, "", browser=browser, second=True)
    rows = [row for row in enrolled if row.method == method]
    if guess is None or not rows:
        return Miss("budget_spent" if guess is None else "wrong_code", question_id)
    proof: Proof | Miss = Miss()
    if method == "sms":
        proof = _sent(user_id, question_id, rows, code, asker)
    elif method == "authenticator":
        go_on = _counted(user_id)
        if any(_accepted(row, code) for row in rows if row.id in go_on and not row.in_cooldown(clock.now())):
            proof = Proof(method)
    if isinstance(proof, Miss) and guess.is_last:
        record("budget.exhausted", user_id, at_once=True, budget="failures")
    return proof if isinstance(proof, Miss) else replace(proof, guess=guess)


def forget_misses(user_id: int) -> int:
    """Let authenticators of this user go on that had stopped, or were about to; return how many.

    When a second factor of theirs was proved, or the operator says so.
    """
    missed = (EnrolledMethod.user_id == user_id, EnrolledMethod.misses > 0)
    return changed(sa.update(EnrolledMethod).where(*missed).values(misses=0))


def _sent(
    user_id: int, question_id: str | None, rows: Sequence[EnrolledMethod], code: str | int, asker: Asker
) -> Proof | Miss:
    if question_id is None:
        return Miss()
    named = replace(asker, challenge=handle_of(question_id))
    by_id = {row.id: row for row in rows}
    tried: list[Challenge] = challenges.count_try(PURPOSE, ["sms"], subject_of(user_id, ""), named)
    for challenge in tried:
        enrolled = by_id.get(challenge.enrolled_id or "")
        if enrolled is None or not _answers(challenge, enrolled, code):
            continue
        return Proof("sms", challenge) if challenges.spend(challenge) else Miss("spent", challenge.id)
    return Miss("wrong_code", question_id)


def _answers(challenge: Challenge, enrolled: EnrolledMethod, code: str | int) -> bool:
    try:
        return codes.answers(challenge, codes.root_of(challenge, enrolled), code)
    except CannotOpen as mismatch:
        return _note_mismatch(enrolled, mismatch)


def _counted(user_id: int) -> set[str]:
    """Count a miss of each app of this user before a code is looked at; return the ids of those that have not stopped.

    Exact at any rate. One statement.
    """
    apps = (EnrolledMethod.user_id == user_id, EnrolledMethod.method == "authenticator")
    goes_on = EnrolledMethod.misses < settings.failures_in_a_row if settings.limits else sa.true()
    counted = sa.update(EnrolledMethod).where(*apps, goes_on).values(misses=EnrolledMethod.misses + 1)
    counted = counted.returning(EnrolledMethod.id).execution_options(at_once=True, synchronize_session=False)
    return set(db.session.scalars(counted))


def _accepted(row: EnrolledMethod, code: str | int) -> bool:
    try:
        return authenticator.accept(row, code)
    except CannotOpen as mismatch:
        return _note_mismatch(row, mismatch)


def _note_mismatch(row: EnrolledMethod, mismatch: CannotOpen) -> bool:
    facts: dict[str, Any] = {"method": row.method, "kid": mismatch.kid}
    record("crypto.mismatch", row.user_id, **facts)
    return False
