"""Second factors: what counts as one, when one is required, and verifying it.

A second factor is of another kind than what was proved first. Mail is none: it is where most first proofs come from,
and no standard takes it for a factor of its own (ASVS 6.3.6, NIST SP 800-63B 3.1.3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.authenticators import totp
from app.authenticators.base import VerifiedFactor
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge, challenge_token_of
from app.client import ClientContext
from app.crypto.encryption import DecryptionError
from app.enrollments.catalog import active_methods, enabled_methods
from app.enrollments.models import Enrollment
from app.extensions import changed, db, settings
from app.sessions.known_devices import known_as
from app.throttling import by_account
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


def is_due_after(proof: VerifiedFactor) -> bool:
    """Say whether the first factor calls for a second step, for any account.

    A passkey in its cooldown does: it opens no account that asks for two.
    """
    if settings.second_factor == "off":
        return False
    if proof.held or proof.verified:
        return proof.held
    return ("email" if proof.method == "confirm" else proof.method) in settings.second_factor_for


def step_after(proof: VerifiedFactor, enrolled: Sequence[Enrollment]) -> Step | None:
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


def leaves_a_way_in(enrolled: Sequence[Enrollment], seconds: Sequence[str], *, adding: str = "") -> bool:
    """Say whether who has ``enrolled``, and ``adding``, could come in if they were asked for one of ``seconds``."""
    firsts = [name for name in enabled_methods() if name in {*active_methods(enrolled), adding}]
    needy = [name for name in firsts if name in settings.second_factor_for]
    return len(needy) < len(firsts) or any(second != first for first in needy for second in seconds)


def verify_second_factor(
    user_id: int,
    method: str,
    question_id: str | None,
    enrolled: Sequence[Enrollment],
    code: str | int,
    client: ClientContext,
) -> VerifiedFactor | VerificationFailure:
    """Return what ``code`` proves as a second step by ``method``, or why it proves nothing.

    The guess is counted before it is looked at: of the account's second steps, apart from its first proofs, and of
    its authenticator apps, of which each stops after ``LATCHKEY_FAILURES_IN_A_ROW`` until another factor succeeds.
    However many apps there are, it is one guess and one statement.
    :param question_id: the challenge by which the code was sent, if it was; no other will do
    """
    browser = known_as(user_id, client.known_secrets)
    guess = by_account.reserve(user_id, "", browser=browser, second=True)
    rows = [row for row in enrolled if row.method == method]
    if guess is None or not rows:
        return VerificationFailure("budget_spent" if guess is None else "wrong_code", question_id)
    proof: VerifiedFactor | VerificationFailure = VerificationFailure()
    if method == "sms":
        proof = _sent(user_id, question_id, rows, code, client)
    elif method == "authenticator":
        go_on = _counted(user_id)
        if any(_accepted(row, code) for row in rows if row.id in go_on and not row.in_cooldown(clock.now())):
            proof = VerifiedFactor(method)
    if isinstance(proof, VerificationFailure) and guess.is_last:
        record("budget.exhausted", user_id, at_once=True, budget="failures")
    return proof if isinstance(proof, VerificationFailure) else replace(proof, guess=guess)


def forget_misses(user_id: int) -> int:
    """Let authenticators of this user go on that had stopped, or were about to; return how many.

    When a second factor of theirs was proved, or the operator says so.
    """
    missed = (Enrollment.user_id == user_id, Enrollment.misses > 0)
    return changed(sa.update(Enrollment).where(*missed).values(misses=0))


def _sent(
    user_id: int, question_id: str | None, rows: Sequence[Enrollment], code: str | int, client: ClientContext
) -> VerifiedFactor | VerificationFailure:
    if question_id is None:
        return VerificationFailure()
    named = replace(client, challenge_token=challenge_token_of(question_id))
    by_id = {row.id: row for row in rows}
    tried: list[Challenge] = challenges.count_try(PURPOSE, ["sms"], subject_of(user_id, ""), named)
    for challenge in tried:
        enrolled = by_id.get(challenge.enrolled_id or "")
        if enrolled is None or not _answers(challenge, enrolled, code):
            continue
        return (
            VerifiedFactor("sms", challenge)
            if challenges.spend(challenge)
            else VerificationFailure("spent", challenge.id)
        )
    return VerificationFailure("wrong_code", question_id)


def _answers(challenge: Challenge, enrolled: Enrollment, code: str | int) -> bool:
    try:
        return passcodes.answers(challenge, passcodes.root_of(challenge, enrolled), code)
    except DecryptionError as mismatch:
        return _note_mismatch(enrolled, mismatch)


def _counted(user_id: int) -> set[str]:
    """Count a miss of each app of this user before a code is looked at; return the ids of those that have not stopped.

    Exact at any rate. One statement.
    """
    apps = (Enrollment.user_id == user_id, Enrollment.method == "authenticator")
    goes_on = Enrollment.misses < settings.failures_in_a_row if settings.limits else sa.true()
    counted = sa.update(Enrollment).where(*apps, goes_on).values(misses=Enrollment.misses + 1)
    counted = counted.returning(Enrollment.id).execution_options(at_once=True, synchronize_session=False)
    return set(db.session.scalars(counted))


def _accepted(row: Enrollment, code: str | int) -> bool:
    try:
        return totp.accept(row, code)
    except DecryptionError as mismatch:
        return _note_mismatch(row, mismatch)


def _note_mismatch(row: Enrollment, mismatch: DecryptionError) -> bool:
    facts: dict[str, Any] = {"method": row.method, "kid": mismatch.kid}
    record("crypto.mismatch", row.user_id, **facts)
    return False
