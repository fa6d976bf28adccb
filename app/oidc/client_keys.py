"""Public keys of clients (RFC 7517), whether one of them has signed something, and whether it was used before.

What is good once is an assertion (RFC 7523) and a proof of possession (RFC 9449).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

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
"""Algorithms that clients may sign with, and the key that each takes: its type and its curve. RFC 9864 gives the last
two names to the same one."""

MOST_KEYS = 20
LEAST_RSA_BITS = 2048
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))

_SPEND = CompiledStatement(
    insert(UsedProof.__table__)
    .values(digest=sa.bindparam("digest"), expires_at=sa.bindparam("expires_at"))
    .on_conflict_do_nothing()
)


def check_jwks(value: dict[str, Any]) -> None:
    """Refuse a key set that verifies nothing, or that holds what its owner should keep.

    :raises ValueError: with what is wrong
    """
    keys = value.get("keys")
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise ValueError('it is no key set; write {"keys": [...]} (RFC 7517, section 5)')
    if len(keys) > MOST_KEYS:
        raise ValueError(f"it has more than {MOST_KEYS} keys")
    if not _can_be_stored(value):
        raise ValueError("it has a number that is too large, or a text that is no Unicode")
    if any(map(has_private_part, keys)):
        raise ValueError("it has a private or shared key: give the public keys alone")
    if not any(_usable(each, alg) for each in keys for alg in KINDS):
        raise ValueError(f"it has no key for {', '.join(KINDS)} (RSA from {LEAST_RSA_BITS} bits)")


def _can_be_stored(value: dict[str, Any]) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def has_private_part(key: dict[str, Any]) -> bool:
    """Whether a JWK holds what its owner should keep."""
    return bool(_PRIVATE & key.keys())


def read_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a compact JWS, before anything of it is verified.

    :raises ValueError: when it is none, or they are no JSON objects
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
    """Whether one of these keys signed ``token``, a compact JWS, by ``alg``.

    :param kid: the key that its header names; without one each key for that algorithm is tried
    """
    from app.oidc import jose

    return any(jose.is_signed_by(token, key) for key in _candidates(jwks, alg, kid))


def _candidates(jwks: dict[str, Any], alg: str, kid: object) -> Iterator[jwk.Key]:
    for each in jwks.get("keys", ()):
        if (kid is None or each.get("kid") == kid) and (key := _usable(each, alg)) is not None:
            yield key


def _usable(key: dict[str, Any], alg: str) -> jwk.Key | None:
    """Return a key that verifies signatures by ``alg``, or None."""
    from app.oidc import jose

    kind, curve = KINDS[alg]
    if key.get("kty") != kind or (curve and key.get("crv") != curve):
        return None
    if key.get("use", "sig") != "sig" or key.get("alg", alg) != alg:
        return None
    read = jose.key_of_client(key)
    public: Any = read and read.public_key
    return None if kind == "RSA" and public and public.key_size < LEAST_RSA_BITS else read


def spend_proof(kind: str, owner: str, jti: str, until: datetime) -> bool:
    """Use a proof; False when it was used before. One statement; of two uses at once one succeeds.

    :param kind: of proof, ``assertion`` or ``dpop``
    :param owner: whose it is, in whose name nobody else can use up its ids: a client id, or a key's thumbprint
    :param jti: its id; any text
    :param until: when it would not be accepted any more in any case
    """
    digest = secrets.digest("\n".join((kind, owner, jti)))
    return _SPEND.run(digest=digest, expires_at=until) == 1
