"""How a repeated request is recognized: by ``Idempotency-Key``, or by its form's nonce.

What goes on from here are MACs under a key of ours: neither the key nor what was asked for can be read off them.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

from flask import g, request
from markupsafe import Markup

from app.client import IdempotencyKey
from app.crypto import secrets
from app.errors import Rejected
from app.extensions import keyring, settings
from app.web.cookies import sent_browser_secret
from app.web.csrf import FIELD, SESSION_COOKIE
from app.web.forms import submitted

HEADER = "Idempotency-Key"
NONCE = "nonce"
SHORTEST, LONGEST = 8, 200
"""Characters of a key."""

SHORTEST_ALONE = 22
"""Of a program without cookies and token: others call from its address, and the key is all that tells them apart.
128 random bits have so many characters in base64."""

KEY_HOLDS = timedelta(hours=24)
NONCE_HOLDS = timedelta(seconds=30)
"""A form sent again within this is a double click; later it is a request for another email."""

_NOT_ASKED_FOR = frozenset((FIELD, NONCE, "passcode"))


def idempotency_key() -> IdempotencyKey | None:
    """Return what makes this request the same as another one, or None where nothing does.

    A key stands for one request of one client to one path. A form's nonce stands for the form as it was filled in:
    after a step back, and a correction, it is another request.
    :raises Rejected: ``idempotency_key_invalid`` when the key is too short, too long or no plain text
    """
    key = request.headers.get(HEADER)
    if key is not None:
        shortest = SHORTEST if _brought() else SHORTEST_ALONE
        if not shortest <= len(key) <= LONGEST or not key.isprintable():
            raise Rejected("idempotency_key_invalid", shortest=shortest, longest=LONGEST)
        return IdempotencyKey(_mac("key", _who(), request.path, key), _body(), KEY_HOLDS)
    fields = submitted()
    nonce = fields.get(NONCE) if fields else None
    if not isinstance(nonce, str) or not 16 <= len(nonce) <= LONGEST:
        return None
    body = _body()
    return IdempotencyKey(_mac("nonce", _who(), request.path, nonce, body), body, NONCE_HOLDS)


def idempotency_field() -> Markup:
    """Return the hidden input of a form that has something sent: pressed twice, it is sent once."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(NONCE, secrets.token())


def _who() -> str:
    """Return what the client brought to be known by; for a program without cookies and token, where it calls from."""
    return _brought() or str(g.get("client_address", ""))


def _brought() -> str:
    session = request.cookies.get(settings.cookie_prefix + SESSION_COOKIE, "")
    return str(g.get("program_token", "")) or session or sent_browser_secret()


def _body() -> str:
    fields = submitted()
    lists = fields.lists() if fields else ()
    asked = sorted((name, [str(value) for value in values]) for name, values in lists if name not in _NOT_ASKED_FOR)
    return _mac("body", repr(asked))


def _mac(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return hmac.digest(keyring.derive("once"), text, hashlib.sha256).hex()
