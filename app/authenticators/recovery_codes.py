"""Recovery codes: ten single-use codes for users who have lost their app or phone.

``SSXX-XXXX-XXXX-XXXX``: a selector of two characters to look up the row, so that a try costs one slow hash instead of
ten, and 14 characters of Crockford's base32, 70 random bits (NIST SP 800-63B, section 4.2.1.1 requires 64).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock, user_input
from app.authenticators.base import Authenticator, Credential, PasscodeAttempt, VerifiedFactor
from app.authenticators.models import RecoveryCode
from app.challenges.diagnosis import VerificationFailure
from app.crypto import secrets
from app.crypto.secrets import dummy_hash, is_hash_of, slow_hash
from app.enrollments.methods import STRONGEST
from app.enrollments.models import Enrollment
from app.extensions import db, execute_update
from app.i18n import N_
from app.throttling import by_account
from app.throttling.by_account import LoginAttempt
from app.users import User

METHOD = RecoveryCode.method

COUNT = 10
LOW_COUNT = 3
"""Warn the user if at most this many are left."""

SELECTOR, SECRET = 2, 14
"""Lengths of the two parts in characters."""

_READ_AS = str.maketrans("OIL", "011")
_CODE = re.compile(f"[{secrets.CROCKFORD}]{{{SELECTOR + SECRET}}}\\Z")


@dataclass(frozen=True, slots=True)
class CodeCount:
    """The number of codes a user has left, and when the set was created; None without a set."""

    left: int
    made_at: datetime | None

    @property
    def is_low(self) -> bool:
        """Whether the user should create new codes."""
        return self.made_at is not None and self.left <= LOW_COUNT


@dataclass(frozen=True, slots=True)
class Found:
    """A code that matches. It may have been used before, which ``use`` checks."""

    row_id: str
    login_attempt: LoginAttempt


@dataclass(frozen=True, slots=True)
class NewCode:
    """A new code and the hash to store."""

    code: str
    hash: str


def read(typed: str | int) -> str | None:
    """Return the input as a code's 16 characters, or None if it has the wrong format.

    Ignores case, spaces, dashes and invisible characters, and reads O as 0, I and L as 1. Rejects letters of other
    scripts.
    """
    text = user_input.compact(typed) if isinstance(typed, str) else ""
    tidy = text.upper().translate(_READ_AS) if text.isascii() else ""
    return tidy if _CODE.match(tidy) else None


def generate() -> list[NewCode]:
    """Return ten new codes, grouped for reading. Costs ten slow hashes, so call it before taking locks."""
    selectors: set[str] = set()
    while len(selectors) < COUNT:
        selectors.add(secrets.crockford(SELECTOR))
    codes = [(selector, secrets.crockford(SECRET)) for selector in sorted(selectors)]
    return [NewCode(_grouped(selector + secret), slow_hash(secret)) for selector, secret in codes]


def store(user_id: int, codes: list[NewCode], session_id: str) -> None:
    """Replace the user's recovery codes by these. The caller holds the lock on the user's row.

    :param session_id: the session that requests them
    """
    delete_all(user_id)
    now = clock.now()
    same = {"user_id": user_id, "created_at": now, "session_id": session_id}
    rows = [same | {"id": secrets.row_id(), "selector": each.code[:SELECTOR], "hash": each.hash} for each in codes]
    db.session.execute(sa.insert(RecoveryCode), rows)


def delete_all(user_id: int) -> int:
    """Delete the user's codes; return how many there were, including used ones."""
    return execute_update(sa.delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def any_code_of(user_id: int) -> list[RecoveryCode]:
    """Return a list with any one of the user's codes, which shows who created the set and when; empty without a set."""
    return list(db.session.scalars(sa.select(RecoveryCode).where(RecoveryCode.user_id == user_id).limit(1)))


def count_of(user_id: int) -> CodeCount:
    """Return the number of codes the user has left, and the set's creation time. One statement."""
    left = sa.func.sum(sa.case((RecoveryCode.used_at.is_(None), 1), else_=0))
    made_at = sa.func.max(RecoveryCode.created_at, type_=RecoveryCode.__table__.c.created_at.type)
    row = db.session.execute(sa.select(left, made_at).where(RecoveryCode.user_id == user_id)).one()
    return CodeCount(int(row[0] or 0), row[1])


def find(user_id: int, typed: str | int) -> Found | VerificationFailure:
    """Return the user's code that matches ``typed``, to pass to ``use``; or why none does.

    The attempt is counted before it is checked, against a limit only for recovery codes. An unknown selector or a used
    code takes as much time as a right one. Input in the wrong format isn't counted and costs nothing.
    """
    code = read(typed)
    if code is None:
        return VerificationFailure()
    login_attempt = by_account.reserve(user_id, "", recovery=True)
    if login_attempt is None:
        return VerificationFailure("budget_spent")
    mine = (RecoveryCode.user_id == user_id, RecoveryCode.selector == code[:SELECTOR])
    row = db.session.execute(sa.select(RecoveryCode.id, RecoveryCode.hash).where(*mine)).first()
    right = is_hash_of(row.hash if row else dummy_hash(), code[SELECTOR:])
    if row is None or not right:
        return VerificationFailure()
    return Found(row.id, login_attempt)


def use(found: Found) -> VerifiedFactor | VerificationFailure:
    """Use up a code, and return the verified factor. Of two concurrent uses, only one succeeds."""
    return (
        VerifiedFactor(METHOD, login_attempt=found.login_attempt)
        if _spend(found.row_id)
        else VerificationFailure("spent")
    )


def _spend(code_id: str) -> bool:
    """Mark a code as used; return False if it was already used, or the set has been replaced."""
    unused = (RecoveryCode.id == code_id, RecoveryCode.used_at.is_(None))
    return execute_update(sa.update(RecoveryCode).where(*unused).values(used_at=clock.now())) == 1


def _grouped(code: str) -> str:
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))


class RecoveryCodes(Authenticator):
    """A recovery code. It can replace a second factor, and reauthenticate, but can't be a first factor.

    It has the highest strength, since people keep it for when everything else is lost.
    """

    name = METHOD
    amr = "otp"
    strength = STRONGEST
    is_typed = False
    allows_many = True
    has_own_pages = True
    title, phrase, one_title = N_("Recovery code"), N_("a recovery code"), N_("Recovery codes")

    @property
    def is_enabled(self) -> bool:
        """See ``Method``. Always enabled."""
        return True

    def could_be(self, passcode: str | int) -> bool:
        """See ``Authenticator``."""
        return read(passcode) is not None

    def verify(self, attempt: PasscodeAttempt) -> None:
        """See ``Authenticator``. Never accepted as a first factor. Elsewhere, ``find`` and ``use`` verify codes."""

    def credentials_of(self, user_id: int, enrolled: Sequence[Enrollment]) -> Sequence[RecoveryCode]:
        """See ``Authenticator``. One code, which represents the set."""
        return any_code_of(user_id)

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """See ``Authenticator``. All of them, since recovery codes aren't enrollments."""
        return list(enrolled)

    def remove(self, user: User, credential: Credential) -> bool:
        """See ``Authenticator``. Removes the whole set."""
        return self.remove_all(user)

    def remove_all(self, user: User) -> bool:
        """See ``Authenticator``."""
        return delete_all(user.id) > 0
