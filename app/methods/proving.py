"""Prove: which enrolled method, if any, a passcode answers. The try is counted before it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.audit import record
from app.extensions import settings
from app.kit.asking import Asker
from app.kit.sealing import CannotOpen
from app.methods import authenticator, challenges, codes, password
from app.methods.explaining import Attempt, Miss, explain
from app.methods.models import Challenge, EnrolledMethod
from app.methods.registry import code_methods, enabled_methods


@dataclass(frozen=True, slots=True)
class Proof:
    """What a right passcode proved: the method, and the challenge it answered if there was one.

    :ivar pending: it was a password that opens nothing before the address is proved
    """

    method: str
    challenge: Challenge | None = None
    pending: bool = False


def prove(
    purpose: str,
    user_id: int | None,
    identity: str,
    enrolled: Sequence[EnrolledMethod],
    passcode: str | int,
    asker: Asker,
    *,
    sent_only: bool = False,
) -> Proof | Miss:
    """Return what ``passcode`` proves for this user, or why it proves nothing.

    Tries the enabled methods in configured order: passcodes that were sent, authenticators, a password.
    An identity that nobody has costs the same work.
    :param sent_only: only a passcode that was sent will do
    """
    by_id = {row.id: row for row in enrolled}
    fitting = [name for name in code_methods() if codes.tidy(passcode, codes.digits_of(name)) is not None]
    subject = challenges.subject_of(user_id, identity)
    counted = challenges.count_try(purpose, fitting, subject, asker) if fitting else []
    for challenge in counted:
        if _answers(challenge, by_id.get(challenge.enrolled_id or ""), passcode) and challenges.spend(challenge):
            return Proof(challenge.method, challenge)
    standing = None if sent_only else _standing(enrolled, passcode)
    return standing or explain(Attempt(purpose, subject, passcode, fitting, counted, by_id), asker)


def _standing(enrolled: Sequence[EnrolledMethod], passcode: str | int) -> Proof | None:
    """Try what needs no challenge: authenticators, then the password."""
    for row in enrolled:
        if row.method == "authenticator" and "authenticator" in settings.methods and _accepted(row, passcode):
            return Proof("authenticator")
    if "password" in enabled_methods() and isinstance(passcode, str) and _is_no_code(passcode):
        kept = sorted((row for row in enrolled if row.method == "password"), key=lambda row: row.is_pending)
        if password.accept(kept[0] if kept else None, passcode):
            return Proof("password", pending=kept[0].is_pending)
    return None


def _answers(challenge: Challenge, enrolled: EnrolledMethod | None, passcode: str | int) -> bool:
    try:
        right = codes.answers(challenge, enrolled, passcode)
    except CannotOpen as mismatch:
        facts: dict[str, Any] = {"method": challenge.method, "kid": mismatch.kid}
        record("crypto.mismatch", challenge.user_id, challenge_id=challenge.id, **facts)
        return False
    return right and challenge.user_id is not None and (enrolled is not None or challenge.secret != "")


def _accepted(row: EnrolledMethod, passcode: str | int) -> bool:
    try:
        return authenticator.accept(row, passcode)
    except CannotOpen as mismatch:
        record("crypto.mismatch", row.user_id, method=row.method, kid=mismatch.kid)
        return False


def _is_no_code(passcode: str) -> bool:
    """A text that can only be a password; six or eight digits are a code and not worth a slow hash."""
    return all(codes.tidy(passcode, digits) is None for digits in (6, 7, 8))
