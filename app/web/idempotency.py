"""Recognize repeated requests, by ``Idempotency-Key`` or by a nonce in the form.

Both are passed on and stored as MACs under our own key, which reveal neither the key nor the request's contents.
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
MIN_LENGTH, MAX_LENGTH = 8, 200
"""Length of a key in characters."""

MIN_LENGTH_ALONE = 22
"""Minimum length of a key from an API client without a cookie or token: other clients may share its IP address, so
only the key tells them apart. 128 random bits take 22 characters in base64."""

KEY_HOLDS = timedelta(hours=24)
NONCE_HOLDS = timedelta(seconds=30)
"""A form submitted again within this time is a double click; later it is a request for another email."""

_NOT_COMPARED = frozenset((FIELD, NONCE, "passcode"))


def idempotency_key() -> IdempotencyKey | None:
    """Return the key that identifies repetitions of this request, or None without a key or nonce.

    An ``Idempotency-Key`` identifies one request of one client to one path. A form's nonce also covers the field
    values: going back and correcting the form makes a different request.
    :raises Rejected: ``idempotency_key_invalid`` if the key is too short, too long or not printable
    """
    key = request.headers.get(HEADER)
    if key is not None:
        shortest = MIN_LENGTH if _sent_credential() else MIN_LENGTH_ALONE
        if not shortest <= len(key) <= MAX_LENGTH or not key.isprintable():
            raise Rejected("idempotency_key_invalid", shortest=shortest, longest=MAX_LENGTH)
        return IdempotencyKey(_mac("key", _client_key(), request.path, key), _body_digest(), KEY_HOLDS)
    fields = submitted()
    nonce = fields.get(NONCE) if fields else None
    if not isinstance(nonce, str) or not 16 <= len(nonce) <= MAX_LENGTH:
        return None
    body = _body_digest()
    return IdempotencyKey(_mac("nonce", _client_key(), request.path, nonce, body), body, NONCE_HOLDS)


def idempotency_field() -> Markup:
    """Return the hidden nonce field for forms that send a message, so that a double click sends it only once."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(NONCE, secrets.token())


def _client_key() -> str:
    """Return the client's token, session or browser secret; without any, its IP address."""
    return _sent_credential() or str(g.get("client_address", ""))


def _sent_credential() -> str:
    session = request.cookies.get(settings.cookie_prefix + SESSION_COOKIE, "")
    return str(g.get("auth_token", "")) or session or sent_browser_secret()


def _body_digest() -> str:
    fields = submitted()
    lists = fields.lists() if fields else ()
    asked = sorted((name, [str(value) for value in values]) for name, values in lists if name not in _NOT_COMPARED)
    return _mac("body", repr(asked))


def _mac(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return hmac.digest(keyring.derive("once"), text, hashlib.sha256).hex()
