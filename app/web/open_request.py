"""What a browser has requested and not answered yet, so that its page can be opened again.

Phones drop a tab while its owner reads the mail, and the address then asked for is that of a form. The page comes back
from this cookie: sealed, gone with the code, and worth nothing without the browser's own secret, which the request is
bound to. It holds what the person typed; the request's row knows only where the code went.
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
LONGEST = 3600
"""Characters of the cookie. Browsers drop one of more than 4,096 bytes; a long ``next`` is left out."""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that waits for its code.

    :ivar purpose: of its challenge
    :ivar challenge_id: which one, so that another tab's page is not shown for it
    :ivar identity: as the person typed it
    :ivar proof: what was proved on the way, where the code has been typed already
    """

    purpose: str
    challenge_id: str
    identity: str
    next: str = ""
    remember: bool = False
    support_id: str = ""
    proof: str = ""


def keep(response: Response, request: OpenRequest, lasts: timedelta) -> Response:
    """Let the browser bring ``request`` back for as long as its code works."""
    value = _sealed(request)
    if len(value) > LONGEST:
        value = _sealed(OpenRequest(**asdict(request) | {"next": ""}))
    set_cookie(response, NAME, value, int(lasts.total_seconds()))
    return response


def kept(purpose: str) -> OpenRequest | None:
    """Return what this browser has asked for with ``purpose``; None without one. No statement."""
    sealed = sent_cookie(settings.cookie_prefix + NAME)
    if not sealed:
        return None
    try:
        found = OpenRequest(**orjson.loads(keyring.open(sealed, NAME)))
    except (DecryptionError, ValueError, TypeError):
        return None
    return found if found.purpose == purpose else None


def forget(response: Response) -> Response:
    """Take the cookie back, if the browser brought one."""
    if sent_cookie(settings.cookie_prefix + NAME):
        set_cookie(response, NAME, "", 0)
    return response


def _sealed(request: OpenRequest) -> str:
    return keyring.seal(orjson.dumps(asdict(request)), NAME)
