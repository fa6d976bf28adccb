"""Undo links: an old address takes back a change of the account's addresses.

``kid.id.expiry.mac``, signed with a key of its own. The row that it names says to which addresses no link is sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from urllib.parse import quote

from app import clock
from app.crypto import secrets
from app.extensions import keyring, settings
from app.users import AddressChange

PATH = "/change-email/undo/"

_TOKEN = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{32})\.([0-9]{10,12})\.([\w-]{43})\Z", re.ASCII)


def undo_link(change: AddressChange) -> str:
    """Return the address at which ``change`` is undone; the same one each time it is made."""
    expiry = str(int((change.created_at + settings.change_undo_within).timestamp()))
    kid = keyring.kid
    return settings.origin + PATH + quote(f"{kid}.{change.id}.{expiry}.{_mac(kid, change.id, expiry)}", safe="")


def open_undo(token: str) -> str | None:
    """Return the id of the change that ``token`` undoes if we made it and its time is not over; else None."""
    match = _TOKEN.match(token)
    if match is None:
        return None
    kid, its_id, expiry, mac = match.groups()
    if kid not in keyring.kids or not secrets.same(mac, _mac(kid, its_id, expiry)):
        return None
    return its_id if int(expiry) > clock.unix() else None


def _mac(kid: str, its_id: str, expiry: str) -> str:
    message = "|".join(("undo", settings.origin, its_id, expiry)).encode()
    raw = hmac.digest(keyring.derive("undo", kid), message, hashlib.sha256)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
