"""Wrapper around joserfc: keys (RFC 7517), signatures (RFC 7515), signed claims (RFC 7519).

Import this module inside the functions that need it, not at module level. joserfc and its dependencies add 3 MB and 30
ms to startup, and a deployment without OpenID Connect apps never needs them.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from app.oidc.client_keys import KINDS
from app.oidc.clients import ALGORITHMS

Key = RSAKey | ECKey | OKPKey

_OURS: Final[dict[str, Any]] = {"RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}

_OF_CLIENTS: Final = jws.JWSRegistry(algorithms=list(KINDS), strict_check_header=False)
_OF_CLIENTS.max_header_length = 4096  # a header with an RSA key has 800 characters, and joserfc's limit is 512

# RFC 9864 renames EdDSA with this curve. Nearly all clients only know the old name.
warnings.filterwarnings("ignore", "EdDSA is deprecated", module=r"joserfc|app\.oidc")


class OurAlgorithms(jws.JWSRegistry):
    """Only the three algorithms we sign with, without joserfc's warning that EdDSA has a newer name (RFC 9864)."""

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise ValueError("not an algorithm of ours")
        return self.algorithms[name]


_REGISTRY: Final = OurAlgorithms()


def generate(alg: str) -> Key:
    """Return a new private key for this algorithm.

    :raises ValueError: if we don't sign with it
    """
    if alg == "RS256":
        return RSAKey.generate_key(2048)
    if alg == "ES256":
        return ECKey.generate_key("P-256")
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    raise ValueError(f"no keys for {alg!r}")


def private_key(alg: str, der: bytes) -> Key:
    """Return one of our private keys. Skips validation, which takes 80 ms: the key was valid when it was sealed."""
    loaded: Any = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    key: Key = _OURS[alg].import_key(loaded)
    return key


def public_key(alg: str, public: dict[str, Any]) -> Key:
    """Return one of our public keys from its JWK."""
    key: Key = _OURS[alg].import_key(public)
    return key


def sign(header: dict[str, Any], payload: bytes, key: Key) -> str:
    """Return a compact JWS (RFC 7515, section 3.1) signed with one of our keys."""
    return jws.serialize_compact(header, payload, key, registry=_REGISTRY)


def claims_of(token: str, key: Key) -> dict[str, Any] | None:
    """Return the claims of a token that this key of ours signed; None for any other token."""
    try:
        return jwt.decode(token, key, registry=_REGISTRY).claims
    except (JoseError, ValueError):
        return None


def key_of_client(key: dict[str, Any]) -> jwk.Key | None:
    """Return a client's public key; None if it can't be parsed."""
    try:
        read = jwk.import_key(key)
        _ = read.public_key
    except (JoseError, ValueError, TypeError):
        return None
    return read


def thumbprint(key: dict[str, Any]) -> str:
    """Return the thumbprint of a readable JWK (RFC 7638)."""
    return str(jwk.import_key(key).thumbprint())


def is_signed_by(token: str, key: jwk.Key) -> bool:
    """Return whether a client's key signed ``token``, a compact JWS, with an algorithm allowed for clients."""
    try:
        jws.deserialize_compact(token, key, registry=_OF_CLIENTS)
    except (JoseError, ValueError, TypeError):
        return False
    return True
