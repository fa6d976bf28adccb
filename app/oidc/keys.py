"""Sign tokens, verify our own, and publish the keys: RS256, ES256 and EdDSA (RFC 7518, RFC 8037).

Each algorithm has a current key and a next one, which is published for a day before it signs. That way, clients that
cache our JWKS for hours know a key before they see its first token.
"""

from __future__ import annotations

from typing import Any

import orjson
from joserfc.util import urlsafe_b64decode

from app import clock
from app.db import unavailable
from app.oidc import key_rotation, key_store
from app.oidc.clients import ALGORITHMS
from app.oidc.models import SigningKey

MAX_LENGTH = 65_536
"""Maximum length of our tokens. Anything longer isn't ours."""


def sign(claims: dict[str, Any], alg: str, *, typ: str = "JWT") -> str:
    """Return ``claims`` as a signed token, a compact JWS (RFC 7515, section 3.1).

    Takes 0.3 ms with RS256. The keys are reread every ten seconds with one statement, and the very first token creates
    the first key.

    :param claims: plain JSON values, times as integers
    :param alg: ``RS256``, ``ES256`` or ``EdDSA``
    :param typ: type of the token, such as ``at+jwt`` (RFC 9068) or ``logout+jwt``
    :raises ValueError: for another algorithm
    :raises DecryptionError: if the key can't be opened
    """
    from app.oidc import jose

    row = _signing_key(alg)
    header = {"alg": alg, "kid": row.kid, "typ": typ}
    return jose.sign(header, orjson.dumps(claims), key_store.private_key(row))


def _signing_key(alg: str) -> SigningKey:
    now = clock.now()
    row = key_store.current(key_store.published(), alg, now)
    row = row or key_store.current(key_store.published(refresh=True), alg, now)
    if row is None:
        key_store.create_key(alg, 1, now)
        row = key_store.current(key_store.published(refresh=True), alg, now)
    assert row is not None
    return row


def verify(token: str, *, typ: str | None = None) -> dict[str, Any] | None:
    """Return the claims of a token that one of our keys signed, however long ago; None for any other.

    Its ``exp`` is not checked.

    :param typ: required type in its header; None for any
    """
    header = _header(token)
    if header is None or (typ is not None and header["typ"] != typ):
        return None
    row = key_store.find(header["kid"])
    if row is None or header["alg"] != row.alg:
        return None
    from app.oidc import jose

    return jose.claims_of(token, key_store.public_key(row))


def _header(token: str) -> dict[str, str] | None:
    """Return the header of what may be one of our tokens; None if it can't be one."""
    if len(token) > MAX_LENGTH or not token.isascii():
        return None
    try:
        header = orjson.loads(urlsafe_b64decode(token.partition(".")[0].encode()))
    except ValueError:
        return None
    ours = isinstance(header, dict) and header.keys() == {"alg", "kid", "typ"}
    return header if ours and all(isinstance(value, str) for value in header.values()) else None


def public_set() -> dict[str, list[dict[str, Any]]]:
    """Return the public keys as a JWK set (RFC 7517, section 5): current, next and previous ones.

    One statement, or none if they were read within the last ten seconds. Missing keys are created. While the database
    is unavailable, the keys that were last read are returned.
    """
    try:
        _create_missing_keys()
        rows = key_store.published()
    except Exception as error:
        rows = key_store.last_read()
        if not (rows and unavailable(error)):
            raise
    now = clock.now()
    live = [row for row in rows if row.published_until is None or row.published_until > now]
    return {"keys": [row.public for row in sorted(live, key=lambda row: ALGORITHMS.index(row.alg))]}


def _create_missing_keys() -> None:
    """Create missing keys, as the worker does."""
    for _ in range(2 * len(ALGORITHMS)):
        if not key_rotation.create_missing_key():
            return
