"""Tokens of a recovery: proof of a mailbox, and the link that cancels. Neither is stored.

Both are sealed, to a purpose of their own: no other token of ours opens these doors, and these open no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from app import clock
from app.crypto.encryption import DecryptionError
from app.extensions import keyring, settings
from app.recovery.models import Recovery

PROVED_FOR = timedelta(minutes=10)
"""How long after its code a mailbox counts as proved here."""

PATH = "/recover/cancel/"


@dataclass(frozen=True, slots=True)
class Proved:
    """Whose mailbox was proved, and by which challenge."""

    user_id: int
    challenge_id: str


def proof_of(user_id: int, challenge_id: str) -> str:
    """Return what says for ten minutes that this user's mailbox was proved. It starts and completes, no more."""
    until = int((clock.now() + PROVED_FOR).timestamp())
    return keyring.seal(f"{user_id} {challenge_id} {until}".encode(), "recover", "proof")


def read_proof(text: str) -> Proved | None:
    """Return what ``text`` says, or None when it is none of ours or too old."""
    try:
        user_id, challenge_id, until = keyring.open(text, "recover", "proof").decode().split(" ")
    except (DecryptionError, UnicodeEncodeError):
        return None
    return Proved(int(user_id), challenge_id) if int(until) > clock.unix() else None


def cancel_link(recovery: Recovery) -> str:
    """Return the address at which ``recovery`` is cancelled, from any browser, for as long as it is open."""
    token = keyring.seal(recovery.id.encode(), "recover", "cancel")
    return settings.origin + PATH + quote(token, safe="")


def read_cancel(token: str) -> str | None:
    """Return the id of the recovery that ``token`` cancels, or None when it is none of ours."""
    try:
        return keyring.open(token, "recover", "cancel").decode()
    except (DecryptionError, UnicodeEncodeError):
        return None
