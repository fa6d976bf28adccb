"""Client secrets: how they are generated, and which ones an operator may supply (ASVS 11.4.1)."""

from __future__ import annotations

from app.crypto import secrets

PREFIX = "lks_"
"""Lets secret scanners recognize a client secret."""

INITIAL_PREFIX = "lki_"
"""Prefix of an initial access token, with which a program registers clients."""

REGISTRATION_PREFIX = "lkm_"
"""Prefix of a registration access token, with which a registered client manages itself."""

MIN_SECRET_LENGTH = 20
DIGEST_PREFIX = "sha256:"
"""Prefix of digests in the clients file, so that a secret can't be mistaken for one."""


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return secrets.prefixed_token(PREFIX)


def check_secret(text: str) -> None:
    """Reject a secret that can be guessed or can't be sent in a header.

    :raises ValueError: with the reason, never with the secret
    """
    if len(text) < MIN_SECRET_LENGTH:
        raise ValueError(f"is shorter than {MIN_SECRET_LENGTH} characters, so it can be guessed")
    if not text.isascii() or not text.isprintable():
        raise ValueError("has other characters than printable ASCII")


def digest_text(secret: str) -> str:
    """Return the digest of a secret in the format of the clients file."""
    return DIGEST_PREFIX + secrets.digest(secret)
