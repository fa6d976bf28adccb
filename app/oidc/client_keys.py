"""Public keys of clients (RFC 7517), verification of their signatures, and replay protection for signed proofs.

Assertions (RFC 7523) and proofs of possession (RFC 9449) can be used once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app.crypto import secrets
from app.db.compiled import CompiledStatement
from app.oidc.models import UsedProof

if TYPE_CHECKING:
    from joserfc import jwk

KINDS = {
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Algorithms that clients may sign with, and the key type and curve each one needs.

``EdDSA`` and ``Ed25519`` are two names for the same algorithm (RFC 9864).
"""

MAX_KEYS = 20
MIN_RSA_BITS = 2048
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))

_SPEND = CompiledStatement(
    insert(UsedProof.__table__)
    .values(digest=sa.bindparam("digest"), expires_at=sa.bindparam("expires_at"))
    .on_conflict_do_nothing()
)


def check_jwks(value: dict[str, Any]) -> None:
    """Reject a key set without a usable public key, or with private or shared keys.

    :raises ValueError: with the reason
    """
    keys = value.get("keys")
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise ValueError('it is no key set; write {"keys": [...]} (RFC 7517, section 5)')
    if len(keys) > MAX_KEYS:
        raise ValueError(f"it has more than {MAX_KEYS} keys")
    if not _can_be_stored(value):
        raise ValueError("it has a number that is too large, or a text that is no Unicode")
    if any(map(has_private_part, keys)):
        raise ValueError("it has a private or shared key: give the public keys alone")
    if not any(_usable(each, alg) for each in keys for alg in KINDS):
        raise ValueError(f"it has no key for {', '.join(KINDS)} (RSA from {MIN_RSA_BITS} bits)")


def _can_be_stored(value: dict[str, Any]) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def has_private_part(key: dict[str, Any]) -> bool:
    """Return whether a JWK contains a private or shared key."""
    return bool(_PRIVATE & key.keys())


def read_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and claims of a compact JWS, without verifying it.

    :raises ValueError: if it isn't one, or they aren't JSON objects
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4)))
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def is_signed(token: str, jwks: dict[str, Any], alg: str, kid: object = None) -> bool:
    """Return whether one of these keys signed ``token``, a compact JWS, with ``alg``.

    :param kid: key id in its header; without one, every key for the algorithm is tried
    """
    from app.oidc import jose

    return any(jose.is_signed_by(token, key) for key in _candidates(jwks, alg, kid))


def _candidates(jwks: dict[str, Any], alg: str, kid: object) -> Iterator[jwk.Key]:
    for each in jwks.get("keys", ()):
        if (kid is None or each.get("kid") == kid) and (key := _usable(each, alg)) is not None:
            yield key


def _usable(key: dict[str, Any], alg: str) -> jwk.Key | None:
    """Return the key if it can verify ``alg`` signatures, else None."""
    from app.oidc import jose

    kind, curve = KINDS[alg]
    if key.get("kty") != kind or (curve and key.get("crv") != curve):
        return None
    if key.get("use", "sig") != "sig" or key.get("alg", alg) != alg:
        return None
    read = jose.key_of_client(key)
    public: Any = read and read.public_key
    return None if kind == "RSA" and public and public.key_size < MIN_RSA_BITS else read


def spend_proof(kind: str, owner: str, jti: str, until: datetime) -> bool:
    """Mark a proof as used; return False if it was used before. One statement, atomic for concurrent uses.

    :param kind: kind of proof, ``assertion`` or ``dpop``
    :param owner: client id or key thumbprint that the id is scoped to, so that no one else can use up its ids
    :param jti: its id; any text
    :param until: when it would be rejected anyway
    """
    digest = secrets.digest("\n".join((kind, owner, jti)))
    return _SPEND.run(digest=digest, expires_at=until) == 1
