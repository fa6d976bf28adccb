"""Return paths: each mail has an envelope sender of its own, signed, so that what comes back to it can be believed.

``bounce+<id>-<expiry>-<mac>@domain``, in letters that keep their meaning in lower case, and short enough for the 64
characters of a local part (RFC 5321, section 4.5.3.1.1).
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import timedelta

from app import clock
from app.crypto.secrets import same
from app.extensions import keyring, settings

GOOD_FOR = timedelta(days=14)
"""Mail servers try for five days at most, as they should (RFC 5321, section 4.5.4.1), and say so once more later."""

_TOKEN = re.compile(r"([0-9a-z]{26})-([0-9]{1,6})-([0-9a-z]{16})\Z")


def return_path_of(message_id: str) -> str:
    """Return the envelope sender of a message; "" where the settings name no address for what comes back."""
    mailbox, _, domain = settings.mail_bounce_address.rpartition("@")
    if not mailbox:
        return ""
    name = base64.b32encode(bytes.fromhex(message_id)).decode().rstrip("=").lower()
    text = f"{name}-{int((clock.now() + GOOD_FOR).timestamp()) // 86400}"
    return f"{mailbox}+{text}-{_mac(text, keyring.kid)}@{domain}"


def message_in(recipient: str) -> str | None:
    """Return the id of the message whose return path an address is; None unless it was signed here and is not over."""
    local, _, domain = recipient.strip().strip("<>").lower().rpartition("@")
    mailbox, _, ours = settings.mail_bounce_address.lower().rpartition("@")
    if not ours or domain != ours or not local.startswith(f"{mailbox}+"):
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
