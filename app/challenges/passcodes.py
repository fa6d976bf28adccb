"""Passcodes and link secrets, derived from an enrollment's secret for one challenge each.

Exactly one passcode answers a challenge, whenever it is derived: when the mail is rendered, when it is sent
once more, and when an answer is compared. Nothing that could be replayed is stored (ASVS 6.5.2).
"""

from __future__ import annotations

import base64

import pyotp
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app import user_input
from app.challenges.models import Challenge
from app.crypto import secrets
from app.enrollments.catalog import method_of
from app.enrollments.models import Enrollment
from app.extensions import keyring

VERSION = "v1"
SECRET_BYTES = 20
"""160 bits, as RFC 4226 (requirement 6) recommends."""

CONFIRMATION_CHARACTERS = 3
"""Characters that are carried from the screen that asked to the one that opened the link: 27,000 possible ones."""


class _Derived(pyotp.HOTP):
    """A HOTP (RFC 4226) whose secret is given as bytes: nobody reads these, so nobody needs them in base32."""

    def __init__(self, secret: bytes, digits: int) -> None:
        self._secret = secret
        super().__init__("", digits=digits)

    def byte_secret(self) -> bytes:
        """Return the secret that the passcode is made with."""
        return self._secret


_sealed_decoys: dict[bytes, str] = {}


def new_secret() -> str:
    """Return a new base32 TOTP secret of 160 bits."""
    return pyotp.random_base32(32)


def digits_of(method: str) -> int:
    """Return how many digits a passcode of ``method`` has."""
    return method_of(method).digits


def tidy(passcode: str | int, digits: int) -> str | None:
    """Return what was typed as ``digits`` ASCII digits, or None if it is not that.

    What keyboards and clipboards add is dropped, digits of other scripts are folded, a number is padded with zeros:
    one passcode has one form, however it is written (ASVS 2.2.1).
    """
    if isinstance(passcode, int):
        text = f"{passcode:0{digits}d}"
        return text if len(text) == digits and text.isdigit() else None
    return user_input.digits(passcode, digits)


def passcode_of(challenge: Challenge, root: bytes) -> str:
    """Return the one passcode that answers ``challenge``.

    :param root: the method's secret, from ``root_of``
    """
    return _Derived(_derive(root, challenge, "passcode"), digits_of(challenge.method)).at(0)


def link_secret_of(challenge: Challenge, root: bytes) -> str:
    """Return the 256-bit secret in the link of ``challenge``, as base64url without padding."""
    return base64.urlsafe_b64encode(_derive(root, challenge, "link", length=32)).rstrip(b"=").decode()


def confirmation_characters_of(challenge: Challenge, root: bytes) -> str:
    """Return the characters that the screen which asked shows, to be typed where the link is opened.

    A person reads and types them, so there are few: what guesses them has ``LATCHKEY_LINK_APPROVAL_TRIES`` tries.
    """
    return secrets.spelled(
        _derive(root, challenge, "carry", length=CONFIRMATION_CHARACTERS + 8), CONFIRMATION_CHARACTERS
    )


def root_of(challenge: Challenge, enrolled: Enrollment | None) -> bytes:
    """Return the secret that ``challenge`` grows from: of the enrolled method, the enrollment, or the decoy.

    :raises DecryptionError: when the sealed secret was moved or changed, or its key is not in the ring
    """
    if challenge.secret:
        return keyring.open(challenge.secret, *challenge_context(challenge))
    if enrolled is not None:
        return keyring.open(enrolled.secret, *enrolled_context(enrolled))
    return _decoy_root()


def _decoy_root() -> bytes:
    """Return the root of decoys, sealed once and opened each time: it takes as long as anybody's."""
    root, context = keyring.derive("decoy"), ("enrolled_method", "0" * 32, "0", "decoy")
    if root not in _sealed_decoys:
        _sealed_decoys[root] = keyring.seal(root, *context)
    return keyring.open(_sealed_decoys[root], *context)


def enrolled_context(enrolled: Enrollment) -> tuple[str, ...]:
    """Return what the secret of ``enrolled`` is sealed to."""
    return ("enrolled_method", enrolled.id, str(enrolled.user_id), enrolled.method)


def challenge_context(challenge: Challenge) -> tuple[str, ...]:
    """Return what the secret of an enrollment is sealed to."""
    return ("challenge", challenge.id, str(challenge.user_id), challenge.method)


def answers(challenge: Challenge, root: bytes, passcode: str | int) -> bool:
    """Say whether ``passcode`` is the one of ``challenge``, open or not; always derived, compared in constant time."""
    return passcode_matches(challenge, root, tidy(passcode, digits_of(challenge.method)) or "")


def passcode_matches(challenge: Challenge, root: bytes, typed: str) -> bool:
    """Compare in constant time (ASVS 11.2.4)."""
    return secrets.same(passcode_of(challenge, root), typed)


def _derive(root: bytes, challenge: Challenge, use: str, length: int = SECRET_BYTES) -> bytes:
    parts = (VERSION, use, challenge.purpose, challenge.method, challenge.subject, challenge.binding)
    info = "|".join(parts).encode()
    return HKDF(SHA256(), length=length, salt=bytes.fromhex(challenge.id), info=info).derive(root)
