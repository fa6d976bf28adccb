"""Passwords: off unless the operator enables them. argon2id, and the hash is encrypted (ASVS 11.4.2)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

import sqlalchemy as sa

from app.authenticators import imported_hashes
from app.authenticators.common_passwords import is_common
from app.challenges.passcodes import enrolled_context, tidy
from app.crypto.secrets import is_hash_of, nobodys_hash, slow_hash
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, keyring, settings

LONGEST = 128
"""Characters; NIST SP 800-63B, section 3.1.1.2 asks for at least 64."""


@lru_cache(maxsize=1)
def _blocked(path: str) -> frozenset[str]:
    """Return the passwords that the operator refuses besides the common ones."""
    if not path:
        return frozenset()
    with open(path, encoding="utf-8", errors="replace") as lines:
        return frozenset(line.strip().casefold() for line in lines if line.strip())


def hash_password(password: str, names: Iterable[str] = ()) -> str:
    """Return the argon2id hash of ``password``, in the PHC string form.

    :param names: addresses and usernames of whose it is: guessed first, as the service's own
    :raises Rejected: ``password_invalid_length``, ``password_too_long`` or ``password_too_common`` on ``password``
    """
    text = unicodedata.normalize("NFKC", password)
    if len(text) < settings.password_length_min:
        raise Rejected("password_invalid_length", field="password", length=settings.password_length_min)
    if len(text) > LONGEST:
        raise Rejected("password_too_long", field="password", length=LONGEST)
    around = (*names, settings.brand_name, urlsplit(settings.origin).hostname or "")
    if _like_a_code(text) or is_common(text, around) or text.casefold() in _blocked(settings.password_blocklist):
        raise Rejected("password_too_common", field="password")
    return slow_hash(text)


def _like_a_code(text: str) -> bool:
    """What could be a passcode is never tried as a password, so a password must not look like one."""
    return any(tidy(text, digits) is not None for digits in (6, 7, 8))


def accept(enrolled: Enrollment | None, password: str) -> bool:
    """Say whether ``password`` is right. Somebody without a password costs as much time as anybody else."""
    kept = _kept(enrolled) if enrolled else nobodys_hash()
    if imported_hashes.is_imported(kept):
        return imported_hashes.is_hash_of(kept, password)
    right = is_hash_of(kept, _as_compared(password))
    return right and enrolled is not None


def renew(enrolled: Enrollment, password: str) -> None:
    """Put a hash of ours in the place of an imported one, now that ``password`` was right for it.

    It stays the password that it is, however short or common: its owner chose it elsewhere. One that was changed
    meanwhile is left alone.
    """
    if not imported_hashes.is_imported(_kept(enrolled)):
        return
    sealed = keyring.seal(slow_hash(_as_compared(password)).encode(), *enrolled_context(enrolled))
    unchanged = (Enrollment.id == enrolled.id, Enrollment.secret == enrolled.secret)
    db.session.execute(
        sa.update(Enrollment).where(*unchanged).values(secret=sealed),
        execution_options={"synchronize_session": False},
    )


def _kept(enrolled: Enrollment) -> str:
    return keyring.open(enrolled.secret, *enrolled_context(enrolled)).decode()


def _as_compared(password: str) -> str:
    return unicodedata.normalize("NFKC", password[: 4 * LONGEST])
