"""Secrets of clients: how they are made, and what an operator may bring (ASVS 11.4.1)."""

from __future__ import annotations

from app.crypto import secrets

PREFIX = "lks_"
"""By which scanners of code recognize one."""

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
        raise ValueError(f"has a secret shorter than {LEAST} characters, which can be guessed")
    if not text.isascii() or not text.isprintable():
        raise ValueError("has a secret with other characters than printable ASCII")


def digest_text(secret: str) -> str:
    """Return the digest of a secret as the clients file has it."""
    return MARK + secrets.digest(secret)
