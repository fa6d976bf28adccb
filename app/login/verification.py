"""Verify a passcode against a user's authenticators. The attempt is counted before the passcode is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.audit import record
from app.authenticators.base import PasscodeAttempt, VerifiedFactor
from app.authenticators.registry import recognize
from app.challenges import service as challenges
from app.challenges.diagnosis import FailedAttempt, VerificationFailure, diagnose
from app.client import ClientContext
from app.enrollments.methods import sign_in_enrollments
from app.enrollments.models import Enrollment
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
    """Verify ``passcode`` for this user; return the factor, or why it failed.

    Tries each authenticator whose passcodes have its format, those that send codes first. An unknown identity costs the
    same work. So does an account that has used up its attempts, for which verification always fails.
    :param sent_only: accept only a passcode that was sent
    :param browser: digest of the client's browser, if the account knows it
    :param session_id: the session to reauthenticate, if any. Authenticator apps that are only a second factor are then
        accepted as well
    """
    possible = [each for each in recognize(passcode) if each.sends or not sent_only]
    if not possible:
        return VerificationFailure()  # it can't be right, so it doesn't count as an attempt
    sending = [each.name for each in possible if each.sends]
    may_be_password = any(each.is_user_chosen for each in possible)
    login_attempt = by_account.reserve(
        user_id, identity, browser=browser, session_id=session_id, password=may_be_password
    )
    subject = subject_of(user_id, identity)
    open_challenges = challenges.count_try(purpose, sending, subject, client) if sending else []
    by_id = {row.id: row for row in enrolled}
    usable = enrolled if session_id else sign_in_enrollments(enrolled)  # no apps that are only a second factor
    attempt = PasscodeAttempt(passcode, usable, by_id, open_challenges, login_attempt is not None)
    lost = []
    for authenticator in possible:
        factor = authenticator.verify(attempt)
        if isinstance(factor, VerifiedFactor):
            return replace(factor, login_attempt=login_attempt)
        if factor is not None and factor.challenge_id:
            lost.append(factor.challenge_id)
    if login_attempt is not None and login_attempt.is_last:
        record("budget.exhausted", user_id, autocommit=True, budget="failures")
        return VerificationFailure("wrong_code", open_challenges[0].id if open_challenges else None)
    found = diagnose(FailedAttempt(purpose, subject, passcode, sending, open_challenges, by_id, lost), client)
    return found if login_attempt is not None else replace(found, reason="budget_spent")
