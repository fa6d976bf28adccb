"""Return paths: each mail has its own signed envelope sender, so that bounces to it can be trusted.

``bounce+<id>-<expiry>-<mac>@domain``, in characters that survive lowercasing, and short enough for the limit of 64
octets on a local part (RFC 5321, section 4.5.3.1.1).
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import timedelta

from app import clock
from app.crypto.secrets import same
from app.extensions import keyring, settings

LIFETIME = timedelta(days=14)
"""Lifetime of a return path. Mail servers usually retry for up to five days (RFC 5321, section 4.5.4.1) and send a
final bounce after that."""

_TOKEN = re.compile(r"([0-9a-z]{26})-([0-9]{1,6})-([0-9a-z]{16})\Z")


def return_path_of(message_id: str) -> str:
    """Return the envelope sender of a message; "" if no bounce address is configured."""
    mailbox, _, domain = settings.mail_bounce_address.rpartition("@")
    if not mailbox:
        return ""
    name = base64.b32encode(bytes.fromhex(message_id)).decode().rstrip("=").lower()
    text = f"{name}-{int((clock.now() + LIFETIME).timestamp()) // 86400}"
    return f"{mailbox}+{text}-{_mac(text, keyring.kid)}@{domain}"


def message_in(recipient: str) -> str | None:
    """Return the id of the message to which a return path belongs; None if its signature is invalid or it expired."""
    local, _, domain = recipient.strip().strip("<>").lower().rpartition("@")
    mailbox, _, our_domain = settings.mail_bounce_address.lower().rpartition("@")
    if not our_domain or domain != our_domain or not local.startswith(f"{mailbox}+"):
        return None
    found = _TOKEN.match(local[len(mailbox) + 1 :])
    if found is None or int(found[2]) * 86400 < clock.unix():
        return None
    if not any(same(found[3], _mac(f"{found[1]}-{found[2]}", kid)) for kid in keyring.kids):
        return None
    return base64.b32decode(found[1].upper() + "======").hex()


def _mac(text: str, kid: str) -> str:
    raw = hmac.digest(keyring.derive("return paths", kid), text.encode(), "sha256")[:10]
    return base64.b32encode(raw).decode().lower()
