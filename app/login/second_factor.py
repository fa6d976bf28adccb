"""Second factors: what counts as one, when one is required, and verifying it.

A second factor is of another kind than what was proved first. Mail is none: it is where most first proofs come from,
and no standard takes it for a factor of its own (ASVS 6.3.6, NIST SP 800-63B 3.1.3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.authenticators.base import SecondFactorAttempt, VerifiedFactor
from app.authenticators.registry import authenticator_of
from app.challenges.diagnosis import VerificationFailure
from app.client import ClientContext
from app.enrollments.catalog import (
    active_methods,
    enabled_methods,
    method_behind,
    method_of,
    second_factor_methods,
)
from app.enrollments.models import Enrollment
from app.extensions import changed, settings
from app.sessions.known_devices import known_as
from app.throttling import by_account

PURPOSE = "second"
"""Of the challenge by which a second step's code is sent."""

SETUP_PURPOSE = "second_setup"
"""Of the challenge by which a second factor is set up."""

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
    return method_behind(proof.method) in settings.second_factor_for


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
    has_other_ways = bool(set(active_methods(enrolled)) - {method_behind(proof.method)})
    planted = marked or (has_other_ways and any(can_be_second(row.method) for row in enrolled))
    return Step(SELECT, []) if planted else Step(SETUP, [])


def seconds_enabled() -> list[str]:
    """Return the second factors that the operator allows, the strongest first."""
    return [name for name in second_factor_methods() if method_of(name).is_enabled]


def can_be_second(method: str) -> bool:
    """Say whether this method can be a second factor."""
    return method_of(method).second_rank > 0


def leaves_a_way_in(enrolled: Sequence[Enrollment], seconds: Sequence[str], *, adding: str = "") -> bool:
    """Say whether who has ``enrolled``, and ``adding``, could come in if they were asked for one of ``seconds``."""
    firsts = [name for name in enabled_methods() if name in {*active_methods(enrolled), adding}]
    needy = [name for name in firsts if name in settings.second_factor_for]
    return len(needy) < len(firsts) or any(second != first for first in needy for second in seconds)


def verify_second_factor(
    user_id: int,
    method: str,
    challenge_id: str | None,
    enrolled: Sequence[Enrollment],
    code: str | int,
    client: ClientContext,
) -> VerifiedFactor | VerificationFailure:
    """Return what ``code`` proves as a second factor by ``method``, or why it proves nothing.

    The attempt is counted before it is looked at: of the account's second factors, apart from its first proofs.
    However many the account has of the method, it is one attempt.
    :param challenge_id: the challenge by which the code was sent, if it was; no other will do
    """
    browser = known_as(user_id, client.known_secrets)
    login_attempt = by_account.reserve(user_id, "", browser=browser, second=True)
    rows = [row for row in enrolled if row.method == method]
    if login_attempt is None or not rows:
        return VerificationFailure("budget_spent" if login_attempt is None else "wrong_code", challenge_id)
    attempt = SecondFactorAttempt(user_id, code, rows, challenge_id, client, PURPOSE)
    factor = authenticator_of(method).verify_second(attempt)
    if isinstance(factor, VerifiedFactor):
        return replace(factor, login_attempt=login_attempt)
    if login_attempt.is_last:
        record("budget.exhausted", user_id, at_once=True, budget="failures")
    return factor


def forget_misses(user_id: int) -> int:
    """Let authenticators of this user go on that had stopped, or were about to; return how many.

    When a second factor of theirs was proved, or the operator says so.
    """
    missed = (Enrollment.user_id == user_id, Enrollment.misses > 0)
    return changed(sa.update(Enrollment).where(*missed).values(misses=0))
