"""Second factors: what counts as one, when one is required, and verifying it.

A second factor is of another kind than the first. Email doesn't qualify: most first factors are sent there, and no
standard accepts it as a factor of its own (ASVS 6.3.6, NIST SP 800-63B 3.1.3.1).
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
from app.enrollments.methods import (
    active_methods,
    enabled_methods,
    method_behind,
    method_of,
    second_factor_methods,
)
from app.enrollments.models import Enrollment
from app.extensions import execute_update, settings
from app.sessions.known_devices import find_known_digest
from app.throttling import by_account

PURPOSE = "second"
"""Purpose of challenges that send the code of a second factor."""

SETUP_PURPOSE = "second_setup"
"""Purpose of challenges that set up a second factor."""

READY, SELECT, SETUP = "ready", "select", "setup_from_login"


@dataclass(frozen=True, slots=True)
class Step:
    """The second factor that is required.

    :ivar choices: accepted methods; empty if the account has none of another kind than the first factor
    """

    state: str
    choices: list[str]


def is_due_after(factor: VerifiedFactor) -> bool:
    """Return whether the first factor requires a second one, if the account uses them.

    A passkey in its cooldown does: it can't be used alone if the account requires two factors.
    """
    if settings.second_factor == "off":
        return False
    if factor.in_cooldown or factor.verified:
        return factor.in_cooldown
    return method_behind(factor.method) in settings.second_factor_for


def step_after(factor: VerifiedFactor, enrolled: Sequence[Enrollment]) -> Step | None:
    """Return the second factor required after ``factor`` for a user with these enrollments, or None.

    If the service requires one from everyone, any enrolled method that can be a second factor is accepted. Only users
    without one have to set one up to sign in.
    """
    marked = [row for row in enrolled if row.is_second]
    is_required = settings.second_factor == "required"
    if not is_due_after(factor) or not (marked or is_required):
        return None
    now = clock.now()
    able = [row.method for row in marked or enrolled if not row.is_pending and not row.in_cooldown(now)]
    choices = [name for name in enabled_second_factors() if name in able and name != factor.method]
    if choices:
        return Step(READY if len(choices) == 1 else SELECT, choices)
    has_other_ways = bool(set(active_methods(enrolled)) - {method_behind(factor.method)})
    planted = marked or (has_other_ways and any(can_be_second_factor(row.method) for row in enrolled))
    return Step(SELECT, []) if planted else Step(SETUP, [])


def enabled_second_factors() -> list[str]:
    """Return the enabled methods that can be a second factor, the strongest first."""
    return [name for name in second_factor_methods() if method_of(name).is_enabled]


def can_be_second_factor(method: str) -> bool:
    """Return whether this method can be a second factor."""
    return method_of(method).second_rank > 0


def can_still_sign_in(enrolled: Sequence[Enrollment], seconds: Sequence[str], *, adding: str = "") -> bool:
    """Return whether a user with ``enrolled`` and ``adding`` can still sign in if one of ``seconds`` is required."""
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
    """Verify ``code`` as a second factor by ``method``; return the factor, or why it failed.

    The attempt is counted before it is verified, against the account's limit for second factors, which is separate from
    that for first factors. It counts once, even if the account has several enrollments of the method.
    :param challenge_id: the challenge that sent the code, if any; no other is accepted
    """
    browser = find_known_digest(user_id, client.known_secrets)
    login_attempt = by_account.reserve(user_id, "", browser=browser, second=True)
    rows = [row for row in enrolled if row.method == method]
    if login_attempt is None or not rows:
        return VerificationFailure("budget_spent" if login_attempt is None else "wrong_code", challenge_id)
    attempt = SecondFactorAttempt(user_id, code, rows, challenge_id, client, PURPOSE)
    factor = authenticator_of(method).verify_second(attempt)
    if isinstance(factor, VerifiedFactor):
        return replace(factor, login_attempt=login_attempt)
    if login_attempt.is_last:
        record("budget.exhausted", user_id, autocommit=True, budget="failures")
    return factor


def reset_misses(user_id: int) -> int:
    """Reset the counters of wrong codes of the user's authenticators, unblocking them; return how many had any.

    Called when the user has verified a second factor, or on an administrator's request.
    """
    missed = (Enrollment.user_id == user_id, Enrollment.misses > 0)
    return execute_update(sa.update(Enrollment).where(*missed).values(misses=0))
