"""Challenge tokens: how a client names a challenge without being able to forge one."""

from __future__ import annotations

import hashlib
import hmac
import re

from app.extensions import keyring

_HANDLE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})\Z")


def challenge_token_of(challenge_id: str) -> str:
    """Return the handle that names a challenge: its id and a MAC over it."""
    return f"{challenge_id}.{_mac(challenge_id, keyring.kid)}"


def challenge_id_in(handle: str) -> str | None:
    """Return the id in ``handle``, or None when this service never gave it out."""
    match = _HANDLE.match(handle) if len(handle) < 128 else None
    if match is None:
        return None
    challenge_id, mac = match.groups()
    known = any(hmac.compare_digest(mac, _mac(challenge_id, kid)) for kid in keyring.kids)
    return challenge_id if known else None


def _mac(challenge_id: str, kid: str) -> str:
    return hmac.digest(keyring.derive("handle", kid), challenge_id.encode(), hashlib.sha256).hex()
