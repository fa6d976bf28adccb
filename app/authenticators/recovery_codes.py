"""Recovery codes: ten, each usable once, for users who have lost their app or phone.

``SSXX-XXXX-XXXX-XXXX``: a selector of two characters, which finds the row, so that a try costs one slow hash and not
ten; and 14 characters of Crockford's base32, 70 random bits (NIST SP 800-63B, section 4.2.1.1 asks for 64).
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
from app.crypto.secrets import is_hash_of, nobodys_hash, slow_hash
from app.enrollments.catalog import STRONGEST
from app.enrollments.models import Enrollment
from app.extensions import changed, db
from app.i18n import N_
from app.throttling import by_account
from app.throttling.by_account import LoginAttempt
from app.users import User

METHOD = RecoveryCode.method

COUNT = 10
FEW = 3
"""So many left are worth a warning."""

SELECTOR, SECRET = 2, 14
"""Characters of the two parts."""

_READ_AS = str.maketrans("OIL", "011")
_CODE = re.compile(f"[{secrets.CROCKFORD}]{{{SELECTOR + SECRET}}}\\Z")


@dataclass(frozen=True, slots=True)
class Stock:
    """How many codes somebody has left, and when the set was made; None when there is none."""

    left: int
    made_at: datetime | None

    @property
    def is_low(self) -> bool:
        """Whether it is time to make new ones."""
        return self.made_at is not None and self.left <= FEW


@dataclass(frozen=True, slots=True)
class Found:
    """A code that is right and not used up yet."""

    row_id: str
    login_attempt: LoginAttempt


@dataclass(frozen=True, slots=True)
class Drawn:
    """A new code and what is stored of it."""

    code: str
    hash: str


def read(typed: str | int) -> str | None:
    """Return what was typed as a code's 16 characters, or None when it cannot be one.

    In any case; blanks, dashes and invisible characters are dropped, O is read as 0, I and L as 1. Letters of other
    scripts are refused.
    """
    text = user_input.compact(typed) if isinstance(typed, str) else ""
    tidy = text.upper().translate(_READ_AS) if text.isascii() else ""
    return tidy if _CODE.match(tidy) else None


def draw() -> list[Drawn]:
    """Return ten new codes, grouped for reading. Ten slow hashes: draw before anything is held."""
    selectors: set[str] = set()
    while len(selectors) < COUNT:
        selectors.add(secrets.crockford(SELECTOR))
    drawn = [(selector, secrets.crockford(SECRET)) for selector in sorted(selectors)]
    return [Drawn(_grouped(selector + secret), slow_hash(secret)) for selector, secret in drawn]


def store(user_id: int, drawn: list[Drawn], session_id: str) -> None:
    """Let the user have these codes and no others. The caller holds the user's row.

    :param session_id: of the session that asks for them
    """
    drop(user_id)
    now = clock.now()
    same = {"user_id": user_id, "created_at": now, "session_id": session_id}
    rows = [same | {"id": secrets.row_id(), "selector": each.code[:SELECTOR], "hash": each.hash} for each in drawn]
    db.session.execute(sa.insert(RecoveryCode), rows)


def drop(user_id: int) -> int:
    """Let the user have no codes; return how many were there, used ones included."""
    return changed(sa.delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def one_of(user_id: int) -> list[RecoveryCode]:
    """Return a code of the user's set, which tells who made all of them and when; nothing where there is no set."""
    return list(db.session.scalars(sa.select(RecoveryCode).where(RecoveryCode.user_id == user_id).limit(1)))


def stock_of(user_id: int) -> Stock:
    """Return how many codes the user has left. One statement."""
    left = sa.func.sum(sa.case((RecoveryCode.used_at.is_(None), 1), else_=0))
    made_at = sa.func.max(RecoveryCode.created_at, type_=RecoveryCode.__table__.c.created_at.type)
    row = db.session.execute(sa.select(left, made_at).where(RecoveryCode.user_id == user_id)).one()
    return Stock(int(row[0] or 0), row[1])


def find(user_id: int, typed: str | int) -> Found | VerificationFailure:
    """Return the code that was ``typed``, for ``use``; or why it is none of the user's.

    The guess is counted before it is looked at, in a budget that only these codes have. A selector that nobody has,
    and a code that was used, cost as much as a right one; what cannot be a code is no guess and costs nothing.
    """
    code = read(typed)
    if code is None:
        return VerificationFailure()
    login_attempt = by_account.reserve(user_id, "", recovery=True)
    if login_attempt is None:
        return VerificationFailure("budget_spent")
    mine = (RecoveryCode.user_id == user_id, RecoveryCode.selector == code[:SELECTOR])
    row = db.session.execute(sa.select(RecoveryCode.id, RecoveryCode.hash).where(*mine)).first()
    right = is_hash_of(row.hash if row else nobodys_hash(), code[SELECTOR:])
    if row is None or not right:
        return VerificationFailure()
    return Found(row.id, login_attempt)


def use(found: Found) -> VerifiedFactor | VerificationFailure:
    """Use a code up, and return what that proves; of two at once one does."""
    return (
        VerifiedFactor(METHOD, login_attempt=found.login_attempt)
        if _spend(found.row_id)
        else VerificationFailure("spent")
    )


def _spend(code_id: str) -> bool:
    """Use a code up; False when another request was first, or the codes were made anew meanwhile."""
    unused = (RecoveryCode.id == code_id, RecoveryCode.used_at.is_(None))
    return changed(sa.update(RecoveryCode).where(*unused).values(used_at=clock.now())) == 1


def _grouped(code: str) -> str:
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))


class RecoveryCodes(Authenticator):
    """A recovery code. It stands in for a second factor, and confirms who is signed in; nobody signs in by it first.

    Worth as much as anything: it is what people keep for the day when all else is lost.
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
        """As ``Method``: always."""
        return True

    def could_be(self, passcode: str | int) -> bool:
        """As ``Authenticator``."""
        return read(passcode) is not None

    def verify(self, attempt: PasscodeAttempt) -> None:
        """As ``Authenticator``: as a first proof nothing. ``find`` and ``use`` verify one elsewhere."""

    def credentials_of(self, user_id: int, enrolled: Sequence[Enrollment]) -> Sequence[RecoveryCode]:
        """As ``Authenticator``: one, which stands for the set."""
        return one_of(user_id)

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """As ``Authenticator``: they are no enrollment."""
        return list(enrolled)

    def remove(self, user: User, credential: Credential) -> bool:
        """As ``Authenticator``: the set."""
        return self.remove_all(user)

    def remove_all(self, user: User) -> bool:
        """As ``Authenticator``."""
        return drop(user.id) > 0
