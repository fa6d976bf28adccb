"""Passwords, disabled by default. Hashed with argon2id, and the hash is encrypted (ASVS 11.4.2).

Easily guessed passwords are rejected: common ones, repetitions, keyboard runs, and names related to the account (NIST
SP 800-63B-4, section 3.1.1.2 and ASVS 6.2.4, 6.2.11). A password is split into parts that attackers have lists of. Each
such part scores one point, and so does every other character. The work is bounded by the length of the password.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from app import clock
from app.authenticators import enrollments, imported_hashes
from app.authenticators.base import Authenticator, EnrollmentAttempt, PasscodeAttempt, VerifiedFactor
from app.challenges.passcodes import enrolled_context, tidy
from app.crypto.secrets import dummy_hash, is_hash_of, slow_hash
from app.enrollments.methods import WEAK
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, execute_update, keyring, settings
from app.i18n import N_

METHOD = "password"

MAX_LENGTH = 128
"""Maximum length in characters. NIST SP 800-63B, section 3.1.1.2 requires at least 64."""


@lru_cache(maxsize=1)
def _blocked(path: str) -> frozenset[str]:
    """Return the passwords on the configured blocklist, which are rejected in addition to the common ones."""
    if not path:
        return frozenset()
    with open(path, encoding="utf-8", errors="replace") as lines:
        return frozenset(line.strip().casefold() for line in lines if line.strip())


def hash_password(password: str, names: Iterable[str] = ()) -> str:
    """Return the argon2id hash of ``password`` in PHC string format.

    :param names: the user's addresses and usernames, which are easily guessed, like those of the service
    :raises Rejected: ``password_invalid_length``, ``password_too_long`` or ``password_too_common`` on ``password``
    """
    text = unicodedata.normalize("NFKC", password)
    if len(text) < settings.password_length_min:
        raise Rejected("password_invalid_length", field="password", length=settings.password_length_min)
    if len(text) > MAX_LENGTH:
        raise Rejected("password_too_long", field="password", length=MAX_LENGTH)
    around = (*names, settings.brand_name, urlsplit(settings.origin).hostname or "")
    if _like_a_code(text) or is_common(text, around) or text.casefold() in _blocked(settings.password_blocklist):
        raise Rejected("password_too_common", field="password")
    return slow_hash(text)


def _like_a_code(text: str) -> bool:
    """Return whether a password has the format of a passcode. Passcodes are never tried as passwords."""
    return any(tidy(text, digits) is not None for digits in (6, 7, 8))


def accept(enrolled: Enrollment | None, password: str) -> bool:
    """Return whether ``password`` is right. Takes the same time for users without a password."""
    kept = _stored_hash(enrolled) if enrolled else dummy_hash()
    if imported_hashes.is_imported(kept):
        return imported_hashes.is_hash_of(kept, password)
    right = is_hash_of(kept, _as_compared(password))
    return right and enrolled is not None


def renew(enrolled: Enrollment, password: str) -> None:
    """Replace an imported hash by one of ours, after ``password`` was verified against it.

    The password may be shorter or more common than our rules allow, since its owner chose it elsewhere. A password that
    was changed in the meantime is left alone.
    """
    if not imported_hashes.is_imported(_stored_hash(enrolled)):
        return
    sealed = keyring.seal(slow_hash(_as_compared(password)).encode(), *enrolled_context(enrolled))
    unchanged = (Enrollment.id == enrolled.id, Enrollment.secret == enrolled.secret)
    db.session.execute(
        sa.update(Enrollment).where(*unchanged).values(secret=sealed),
        execution_options={"synchronize_session": False},
    )


def _stored_hash(enrolled: Enrollment) -> str:
    return keyring.open(enrolled.secret, *enrolled_context(enrolled)).decode()


def _as_compared(password: str) -> str:
    return unicodedata.normalize("NFKC", password[: 4 * MAX_LENGTH])


def store_pending(user_id: int, hashed: str, binding: str, others: Sequence[str]) -> None:
    """Store a password that can't be used until the browser with this binding has verified the account's address.

    :param others: other bindings of that browser, whose earlier passwords are removed
    """
    mine = (Enrollment.user_id == user_id, Enrollment.method == METHOD)
    execute_update(sa.delete(Enrollment).where(*mine, Enrollment.name.in_((binding, *others))))
    enrollments.enroll(user_id, METHOD, hashed, name=binding)


class Password(Authenticator):
    """A password."""

    name = METHOD
    amr = "pwd"
    strength = WEAK
    is_user_chosen = True
    title, phrase = N_("Password"), N_("your password")
    risk = N_("Anyone who knows your password can sign in.")

    def is_pending(self, enrollment: Enrollment) -> bool:
        """See ``Method``. Pending until its browser, identified by ``name``, has verified the account's address."""
        return enrollment.name != ""

    def could_be(self, passcode: str | int) -> bool:
        """See ``Authenticator``. Excludes passcodes, to avoid slow hashes for them."""
        return isinstance(passcode, str) and not _like_a_code(passcode)

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | None:
        """See ``Authenticator``. Costs a slow hash even if there is no password or no attempt left."""
        own = sorted((row for row in attempt.enrolled if row.method == self.name), key=lambda row: row.is_pending)
        row = own[0] if own and attempt.is_allowed else None
        typed = str(attempt.passcode)
        if not accept(row, typed) or row is None:
            return None
        renew(row, typed)
        return VerifiedFactor(self.name, pending=row.is_pending, in_cooldown=row.in_cooldown(clock.now()))

    def verify_enrollment(self, attempt: EnrollmentAttempt) -> tuple[str, int]:
        """See ``Authenticator``. A new password needs no other verification.

        :raises Rejected: as ``hash_password``
        """
        return hash_password(str(attempt.passcode), attempt.identities.values()), 0


# --- passwords that are easily guessed ----------------------------------------------------------


COMMON_LIST = Path(__file__).with_name("common_passwords.txt")
MIN_SCORE = 5
"""Minimum score. A common password followed by a number and a symbol scores less."""

MIN_WORD_LENGTH, MAX_WORD_LENGTH = 4, 20
"""Length of the common passwords that are looked up within a longer one."""

RUN = 3
"""Minimum length of a run of adjacent characters: ``abc``, ``321``, ``qwe``. For one repeated character, it's two."""

_KEYBOARD_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890-=",
    "!@#$%^&*()_+",
    '!"§$%&/()=?',
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    *("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol"),
)
_NEXT = frozenset(pair for row in _KEYBOARD_ROWS for pair in (*pairwise(row), *pairwise(row[::-1])))
_LOOK_ALIKES = str.maketrans("@4301!$57", "aaeoiisst")
_YEAR = re.compile(r"(?:1[89]|20)\d\d")
_WORDS = re.compile(r"[^\W_]+")


def is_common(text: str, names: Collection[str] = ()) -> bool:
    """Return whether a password is easily guessed.

    :param text: the password, within the maximum length
    :param names: names of the service and the user: addresses, usernames
    """
    plain = text.casefold()
    parts = {word for name in names for word in _WORDS.findall(name.casefold()) if len(word) >= RUN}
    parts |= {
        part for name in names for part in (name.casefold(), name.casefold().partition("@")[0]) if len(part) >= RUN
    }
    return min(_worth(plain, parts), _worth(_unit(plain), parts)) < MIN_SCORE


def _unit(text: str) -> str:
    """Return the unit that ``text`` repeats, or ``text`` itself."""
    for size in range(1, len(text) // 2 + 1):
        if all(text[place] == text[place % size] for place in range(size, len(text))):
            return text[:size]
    return text


def _worth(text: str, names: Collection[str]) -> int:
    readable = text.translate(_LOOK_ALIKES)
    worth = place = 0
    was_run = False
    while place < len(text):
        run = _run_at(text, place)
        length = max(_word_at(text, place, names), _word_at(readable, place, names), run)
        is_run = 0 < run == length
        worth += not (is_run and was_run)  # consecutive runs are one keyboard pattern
        was_run = is_run
        place += length or 1
    return worth


def _word_at(text: str, place: int, names: Collection[str]) -> int:
    """Return the length of the common password, name or year that begins at ``place``; 0 for none."""
    named = max((len(name) for name in names if text.startswith(name, place)), default=0)
    known = common_passwords()
    for length in range(min(MAX_WORD_LENGTH, len(text) - place), max(MIN_WORD_LENGTH, named + 1) - 1, -1):
        if text[place : place + length] in known:
            return length
    return named or (4 if _YEAR.match(text, place) else 0)


def _run_at(text: str, place: int) -> int:
    """Return the length of the run that begins at ``place``, of one character or of adjacent ones; 0 for none."""
    end = place + 1
    while end < len(text) and text[end] == text[place]:
        end += 1
    along = place + 1
    while along < len(text) and (text[along - 1], text[along]) in _NEXT:
        along += 1
    if along - place >= RUN and along > end:
        return along - place
    return end - place if end - place > 1 else 0


@lru_cache(maxsize=1)
def common_passwords() -> frozenset[str]:
    """Return the common passwords of four or more characters. The file names its source and license."""
    lines = COMMON_LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
