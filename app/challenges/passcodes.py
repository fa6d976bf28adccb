"""Derive the passcode and link secret of each challenge from an enrollment's secret.

A challenge has exactly one passcode. It's derived again when the email is rendered, when it's resent, and when an
answer is compared. Nothing that could be replayed is stored (ASVS 6.5.2).
"""

from __future__ import annotations

import pyotp
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app import user_input
from app.challenges.models import Challenge
from app.crypto import secrets
from app.crypto.secrets import base64url
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment
from app.extensions import keyring

VERSION = "v1"
SECRET_BYTES = 20
"""160 bits, as RFC 4226 (requirement 6) recommends."""

CONFIRMATION_CHARACTERS = 3
"""Length of the code that people copy to the device that opened the link: 27,000 combinations."""


class _Derived(pyotp.HOTP):
    """HOTP (RFC 4226) with a secret in bytes: no one reads these secrets, so they don't need base32."""

    def __init__(self, secret: bytes, digits: int) -> None:
        self._secret = secret
        super().__init__("", digits=digits)

    def byte_secret(self) -> bytes:
        """Return the secret from which the passcode is computed."""
        return self._secret


_sealed_decoys: dict[bytes, str] = {}


def new_secret() -> str:
    """Return a new base32 TOTP secret of 160 bits."""
    return pyotp.random_base32(32)


def digits_of(method: str) -> int:
    """Return the number of digits in a passcode of ``method``."""
    return method_of(method).digits


def tidy(passcode: str | int, digits: int) -> str | None:
    """Return a typed passcode as ``digits`` ASCII digits, or None if it isn't one.

    Drops what keyboards and clipboards add, converts digits of other scripts, and pads numbers with zeros, so that each
    passcode has one canonical form (ASVS 2.2.1).
    """
    if isinstance(passcode, int):
        text = f"{passcode:0{digits}d}"
        return text if len(text) == digits and text.isdigit() else None
    return user_input.digits(passcode, digits)


def passcode_of(challenge: Challenge, root: bytes) -> str:
    """Return the passcode of ``challenge``.

    :param root: the method's secret, from ``root_of``
    """
    return _Derived(_derive(root, challenge, "passcode"), digits_of(challenge.method)).at(0)


def link_secret_of(challenge: Challenge, root: bytes) -> str:
    """Return the 256-bit secret in the link of ``challenge`` as unpadded base64url."""
    return base64url(_derive(root, challenge, "link", length=32))


def confirmation_characters_of(challenge: Challenge, root: bytes) -> str:
    """Return the characters shown in the requesting browser, to be entered on the device that opens the link.

    They are few because people copy them by hand; ``LATCHKEY_LINK_APPROVAL_TRIES`` limits guessing.
    """
    return secrets.spelled(
        _derive(root, challenge, "carry", length=CONFIRMATION_CHARACTERS + 8), CONFIRMATION_CHARACTERS
    )


def root_of(challenge: Challenge, enrolled: Enrollment | None) -> bytes:
    """Return the secret from which the codes of ``challenge`` derive: its own, the enrolled method's, or the decoy's.

    :raises DecryptionError: if the encrypted secret was moved or changed, or its key isn't in the key ring
    """
    if challenge.secret:
        return keyring.open(challenge.secret, *challenge_context(challenge))
    if enrolled is not None:
        return keyring.open(enrolled.secret, *enrolled_context(enrolled))
    return _decoy_root()


def _decoy_root() -> bytes:
    """Return the secret of decoys. It's encrypted once and decrypted on each call, to take as long as a real one."""
    root, context = keyring.derive("decoy"), ("enrolled_method", "0" * 32, "0", "decoy")
    if root not in _sealed_decoys:
        _sealed_decoys[root] = keyring.seal(root, *context)
    return keyring.open(_sealed_decoys[root], *context)


def enrolled_context(enrolled: Enrollment) -> tuple[str, ...]:
    """Return the encryption context of the secret of ``enrolled``."""
    return ("enrolled_method", enrolled.id, str(enrolled.user_id), enrolled.method)


def challenge_context(challenge: Challenge) -> tuple[str, ...]:
    """Return the encryption context of a challenge's own secret, for an enrollment."""
    return ("challenge", challenge.id, str(challenge.user_id), challenge.method)


def answers(challenge: Challenge, root: bytes, passcode: str | int) -> bool:
    """Return whether ``passcode`` answers ``challenge``, open or not. Always derived, and compared in constant time."""
    return passcode_matches(challenge, root, tidy(passcode, digits_of(challenge.method)) or "")


def passcode_matches(challenge: Challenge, root: bytes, typed: str) -> bool:
    """Compare a passcode in constant time (ASVS 11.2.4)."""
    return secrets.same(passcode_of(challenge, root), typed)


def _derive(root: bytes, challenge: Challenge, use: str, length: int = SECRET_BYTES) -> bytes:
    parts = (VERSION, use, challenge.purpose, challenge.method, challenge.subject, challenge.binding)
    info = "|".join(parts).encode()
    return HKDF(SHA256(), length=length, salt=bytes.fromhex(challenge.id), info=info).derive(root)
