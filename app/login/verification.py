"""Verify a passcode against a user's authenticators. The attempt is counted before it is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app import clock
from app.audit import record
from app.authenticators import password, totp
from app.authenticators.base import VerifiedFactor
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.diagnosis import Attempt, VerificationFailure, diagnose
from app.challenges.magic_links import registers_account
from app.challenges.models import Challenge
from app.client import ClientContext
from app.crypto.encryption import DecryptionError
from app.enrollments.catalog import code_methods, enabled_methods, ways_to_sign_in
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.throttling import by_account
from app.users import subject_of


def verify_passcode(
    purpose: str,
    user_id: int | None,
    identity: str,
    enrolled: Sequence[Enrollment],
    passcode: str | int,
    client: ClientContext,
    *,
    sent_only: bool = False,
    browser: str = "",
    session_id: str = "",
) -> VerifiedFactor | VerificationFailure:
    """Return what ``passcode`` proves for this user, or why it proves nothing.

    Tries the enabled methods in configured order: passcodes that were sent, authenticators, a password.
    An identity that nobody has costs the same work, and when no guess is left nothing is looked at.
    :param sent_only: only a passcode that was sent will do
    :param browser: digest of the client's browser, if the user knows it
    :param session_id: of the session that proves itself again; there an app will do that signs nobody in by itself
    """
    fitting = [name for name in code_methods() if passcodes.tidy(passcode, passcodes.digits_of(name)) is not None]
    standing = [] if sent_only else _standing(passcode)
    if not fitting and not standing:
        return VerificationFailure()  # it cannot be right, so it is no guess
    guess = by_account.reserve(
        user_id, identity, browser=browser, session_id=session_id, password="password" in standing
    )
    subject = subject_of(user_id, identity)
    tried = challenges.count_try(purpose, fitting, subject, client) if fitting else []
    by_id = {row.id: row for row in enrolled}
    attempt = Attempt(purpose, subject, passcode, fitting, tried, by_id)
    right = [challenge for challenge in tried if _answers(challenge, by_id.get(challenge.enrolled_id or ""), passcode)]
    if guess is None:  # derived, hashed and looked up all the same: a locked account costs what any other costs
        if "password" in standing:
            password.accept(None, str(passcode))
        return replace(diagnose(attempt, client), reason="budget_spent")
    spent = next((challenge for challenge in right if challenges.spend(challenge)), None)
    usable = enrolled if session_id else ways_to_sign_in(enrolled)  # not an app that is a second step alone
    proof = _sent(spent, by_id.get(spent.enrolled_id or "")) if spent else _stood(standing, usable, passcode)
    if proof is not None:
        return replace(proof, guess=guess)
    if guess.is_last:
        record("budget.exhausted", user_id, at_once=True, budget="failures")
        return VerificationFailure("wrong_code", tried[0].id if tried else None)
    return diagnose(replace(attempt, lost=[challenge.id for challenge in right]), client)


def _sent(challenge: Challenge, enrolled: Enrollment | None) -> VerifiedFactor:
    return VerifiedFactor(challenge.method, challenge, held=enrolled is not None and enrolled.in_cooldown(clock.now()))


def _standing(passcode: str | int) -> list[str]:
    """Return the methods without a challenge that a passcode of this shape could be meant for."""
    found = []
    if "authenticator" in settings.methods and passcodes.tidy(passcode, totp.DIGITS) is not None:
        found.append("authenticator")
    if "password" in enabled_methods() and isinstance(passcode, str) and _is_no_code(passcode):
        found.append("password")
    return found


def _stood(standing: Sequence[str], enrolled: Sequence[Enrollment], passcode: str | int) -> VerifiedFactor | None:
    """Look at what needs no challenge: every authenticator app, then the password."""
    if "authenticator" in standing:
        for row in enrolled:
            if row.method == "authenticator" and not totp.has_stopped(row) and _accepted(row, passcode):
                return VerifiedFactor("authenticator", held=row.in_cooldown(clock.now()))
    if "password" in standing:
        kept = sorted((row for row in enrolled if row.method == "password"), key=lambda row: row.is_pending)
        if password.accept(kept[0] if kept else None, str(passcode)):
            password.renew(kept[0], str(passcode))
            return VerifiedFactor("password", pending=kept[0].is_pending, held=kept[0].in_cooldown(clock.now()))
    return None


def _answers(challenge: Challenge, enrolled: Enrollment | None, passcode: str | int) -> bool:
    try:
        right = passcodes.answers(challenge, passcodes.root_of(challenge, enrolled), passcode)
    except DecryptionError as mismatch:
        facts: dict[str, Any] = {"method": challenge.method, "kid": mismatch.kid}
        record("crypto.mismatch", challenge.user_id, challenge_id=challenge.id, **facts)
        return False
    if challenge.user_id is None:
        return right and registers_account(challenge)
    return right and (enrolled is not None or challenge.secret != "")


def _accepted(row: Enrollment, passcode: str | int) -> bool:
    try:
        return totp.accept(row, passcode)
    except DecryptionError as mismatch:
        record("crypto.mismatch", row.user_id, method=row.method, kid=mismatch.kid)
        return False


def _is_no_code(passcode: str) -> bool:
    """A text that can only be a password; six or eight digits are a code and not worth a slow hash."""
    return all(passcodes.tidy(passcode, digits) is None for digits in (6, 7, 8))
