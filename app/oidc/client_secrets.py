"""Secrets of clients: how they are made, and what an operator may bring (ASVS 11.4.1)."""

from __future__ import annotations

from app.crypto import secrets

PREFIX = "lks_"
"""By which scanners of code recognize one."""

INITIAL_PREFIX = "lki_"
"""Of an initial access token, with which a program registers clients."""

REGISTRATION_PREFIX = "lkm_"
"""Of a registration access token, with which a registered client changes itself."""

LEAST = 20
MARK = "sha256:"
"""Before a digest in the clients file, so that nobody takes a secret for one."""


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return secrets.prefixed_token(PREFIX)


def check_secret(text: str) -> None:
    """Refuse a secret that can be guessed, or sent in no header.

    :raises ValueError: with what is wrong, and never with the secret
    """
    if len(text) < LEAST:
        raise ValueError(f"is shorter than {LEAST} characters, so it can be guessed")
    if not text.isascii() or not text.isprintable():
        raise ValueError("has other characters than printable ASCII")


def digest_text(secret: str) -> str:
    """Return the digest of a secret as the clients file has it."""
    return MARK + secrets.digest(secret)
