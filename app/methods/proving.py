"""Prove: which enrolled method, if any, a passcode answers. The guess is counted before it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.audit import record
from app.extensions import settings
from app.kit import clock
from app.kit.asking import Asker
from app.kit.sealing import CannotOpen
from app.methods import authenticator, challenges, codes, password
from app.methods.explaining import Attempt, Miss, explain
from app.methods.models import Challenge, EnrolledMethod
from app.methods.newcomers import is_newcomers
from app.methods.registry import code_methods, enabled_methods, ways_to_sign_in
from app.sessions import guesses
from app.sessions.guesses import Guess
from app.users import subject_of


@dataclass(frozen=True, slots=True)
class Proof:
    """What a right passcode proved: the method, and the challenge it answered if there was one.

    :ivar pending: it was a password that opens nothing before the address is proved
    :ivar guess: what was counted for it; whoever uses the proof takes it back
    :ivar verified: it proves two factors in one, as a passkey does that has verified its user
    :ivar held: what proved it is in its cooldown, so that it counts no more than a mailed code
    """

    method: str
    challenge: Challenge | None = None
    pending: bool = False
    guess: Guess | None = None
    verified: bool = False
    held: bool = False


def prove(
    purpose: str,
    user_id: int | None,
    identity: str,
    enrolled: Sequence[EnrolledMethod],
    passcode: str | int,
    asker: Asker,
    *,
    sent_only: bool = False,
    browser: str = "",
    family: str = "",
) -> Proof | Miss:
    """Return what ``passcode`` proves for this user, or why it proves nothing.

    Tries the enabled methods in configured order: passcodes that were sent, authenticators, a password.
    An identity that nobody has costs the same work, and when no guess is left nothing is looked at.
    :param sent_only: only a passcode that was sent will do
    :param browser: digest of the asker's browser, if the user knows it
    :param family: of the session that proves itself again; there an app will do that signs nobody in by itself
    """
    fitting = [name for name in code_methods() if codes.tidy(passcode, codes.digits_of(name)) is not None]
    standing = [] if sent_only else _standing(passcode)
    if not fitting and not standing:
        return Miss()  # it cannot be right, so it is no guess
    guess = guesses.reserve(user_id, identity, browser=browser, family=family, password="password" in standing)
    subject = subject_of(user_id, identity)
    tried = challenges.count_try(purpose, fitting, subject, asker) if fitting else []
    by_id = {row.id: row for row in enrolled}
    attempt = Attempt(purpose, subject, passcode, fitting, tried, by_id)
    right = [challenge for challenge in tried if _answers(challenge, by_id.get(challenge.enrolled_id or ""), passcode)]
    if guess is None:  # derived, hashed and looked up all the same: a locked account costs what any other costs
        if "password" in standing:
            password.accept(None, str(passcode))
        return replace(explain(attempt, asker), reason="budget_spent")
    spent = next((challenge for challenge in right if challenges.spend(challenge)), None)
    usable = enrolled if family else ways_to_sign_in(enrolled)  # not an app that is a second step alone
    proof = _sent(spent, by_id.get(spent.enrolled_id or "")) if spent else _stood(standing, usable, passcode)
    if proof is not None:
        return replace(proof, guess=guess)
    if guess.is_last:
        record("budget.exhausted", user_id, at_once=True, budget="failures")
        return Miss("wrong_code", tried[0].id if tried else None)
    return explain(replace(attempt, lost=[challenge.id for challenge in right]), asker)


def _sent(challenge: Challenge, enrolled: EnrolledMethod | None) -> Proof:
    return Proof(challenge.method, challenge, held=enrolled is not None and enrolled.in_cooldown(clock.now()))


def _standing(passcode: str | int) -> list[str]:
    """Return the methods without a challenge that a passcode of this shape could be meant for."""
    found = []
    if "authenticator" in settings.methods and codes.tidy(passcode, authenticator.DIGITS) is not None:
        found.append("authenticator")
    if "password" in enabled_methods() and isinstance(passcode, str) and _is_no_code(passcode):
        found.append("password")
    return found


def _stood(standing: Sequence[str], enrolled: Sequence[EnrolledMethod], passcode: str | int) -> Proof | None:
    """Look at what needs no challenge: every authenticator app, then the password."""
    if "authenticator" in standing:
        for row in enrolled:
            if row.method == "authenticator" and not authenticator.has_stopped(row) and _accepted(row, passcode):
                return Proof("authenticator", held=row.in_cooldown(clock.now()))
    if "password" in standing:
        kept = sorted((row for row in enrolled if row.method == "password"), key=lambda row: row.is_pending)
        if password.accept(kept[0] if kept else None, str(passcode)):
            password.renew(kept[0], str(passcode))
            return Proof("password", pending=kept[0].is_pending, held=kept[0].in_cooldown(clock.now()))
    return None


def _answers(challenge: Challenge, enrolled: EnrolledMethod | None, passcode: str | int) -> bool:
    try:
        right = codes.answers(challenge, codes.root_of(challenge, enrolled), passcode)
    except CannotOpen as mismatch:
        facts: dict[str, Any] = {"method": challenge.method, "kid": mismatch.kid}
        record("crypto.mismatch", challenge.user_id, challenge_id=challenge.id, **facts)
        return False
    if challenge.user_id is None:
        return right and is_newcomers(challenge)
    return right and (enrolled is not None or challenge.secret != "")


def _accepted(row: EnrolledMethod, passcode: str | int) -> bool:
    try:
        return authenticator.accept(row, passcode)
    except CannotOpen as mismatch:
        record("crypto.mismatch", row.user_id, method=row.method, kid=mismatch.kid)
        return False


def _is_no_code(passcode: str) -> bool:
    """A text that can only be a password; six or eight digits are a code and not worth a slow hash."""
    return all(codes.tidy(passcode, digits) is None for digits in (6, 7, 8))
