"""The pending code request of a browser, kept in a cookie so that its page can be reopened.

Phones discard a tab while the user reads their email, and reloading it requests the URL the form was posted to. The
page is restored from this cookie. It is encrypted, expires with the code, and is useless without the browser's own
secret, which the request is bound to. It holds what the person typed; the database row only has the code's recipient.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

import orjson
from flask import Response

from app.crypto.encryption import DecryptionError
from app.extensions import keyring, settings
from app.web.cookies import sent_cookie, set_cookie

NAME = "latchkey_asked"
MAX_LENGTH = 3600
"""Maximum length of the cookie in characters. Browsers drop cookies over 4,096 bytes; a long ``next`` is left out."""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that is waiting for its code.

    :ivar purpose: purpose of its challenge
    :ivar challenge_id: so that the request isn't shown on another tab's page
    :ivar identity: as the person typed it
    :ivar proof: token for what has been verified, once the code has been entered
    """

    purpose: str
    challenge_id: str
    identity: str
    next: str = ""
    remember: bool = False
    support_id: str = ""
    proof: str = ""


def save(response: Response, request: OpenRequest, lasts: timedelta) -> Response:
    """Store ``request`` in a cookie for as long as its code is valid."""
    value = _encrypted(request)
    if len(value) > MAX_LENGTH:
        value = _encrypted(OpenRequest(**asdict(request) | {"next": ""}))
    set_cookie(response, NAME, value, int(lasts.total_seconds()))
    return response


def load(purpose: str) -> OpenRequest | None:
    """Return this browser's pending request for ``purpose``, or None. No SQL statement."""
    sealed = sent_cookie(settings.cookie_prefix + NAME)
    if not sealed:
        return None
    try:
        found = OpenRequest(**orjson.loads(keyring.open(sealed, NAME)))
    except (DecryptionError, ValueError, TypeError):
        return None
    return found if found.purpose == purpose else None


def clear(response: Response) -> Response:
    """Delete the cookie, if the browser sent one."""
    if sent_cookie(settings.cookie_prefix + NAME):
        set_cookie(response, NAME, "", 0)
    return response


def _encrypted(request: OpenRequest) -> str:
    return keyring.seal(orjson.dumps(asdict(request)), NAME)
