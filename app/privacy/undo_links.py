"""The link that cancels a deletion.

``kid.handle.time.mac``: signed with a key of its own, so that no other link of ours opens this door. It names one
deletion, by the account's opaque handle and the moment at which it would be erased: when that is undone, or asked for
anew, the link is worth nothing more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from app.crypto import secrets
from app.extensions import keyring, settings

PATH = "/my-data/undo/"
_TOKEN = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{32})\.([0-9]{10,12})\.([\w-]{43})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """The deletion that a token names."""

    handle: str
    deletes_at: datetime


def undo_link(handle: str, deletes_at: datetime) -> str:
    """Return the address at which this deletion is undone; the same one each time it is made.

    :param deletes_at: to the second
    """
    kid, at = keyring.kid, str(int(deletes_at.timestamp()))
    token = f"{kid}.{handle}.{at}.{_mac(kid, handle, at)}"
    return settings.origin + PATH + quote(token, safe="")


def open_undo(token: str) -> Named | None:
    """Return what ``token`` names if we made it; else None. No statement; the row says whether it is too late."""
    match = _TOKEN.match(token)
    if match is None:
        return None
    kid, handle, at, mac = match.groups()
    if kid not in keyring.kids or not secrets.same(mac, _mac(kid, handle, at)):
        return None
    return Named(handle, datetime.fromtimestamp(int(at), UTC))


def _mac(kid: str, handle: str, at: str) -> str:
    message = "|".join(("undelete", settings.origin, handle, at)).encode()
    raw = hmac.digest(keyring.derive("undelete", kid), message, hashlib.sha256)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
