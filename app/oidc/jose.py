"""What joserfc does for us: keys (RFC 7517), signatures (RFC 7515), signed claims (RFC 7519).

Import it where a key or a token is at hand, and not with a module: joserfc and what it brings take 3 MB and 30 ms of a
start, and a service without apps of OpenID Connect never needs them.
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
_OF_CLIENTS.max_header_length = 4096  # an RSA key in it has 800 characters, and joserfc's limit is 512

# RFC 9864 has another name for EdDSA with this curve. The old one is what nearly all clients know.
warnings.filterwarnings("ignore", "EdDSA is deprecated", module=r"joserfc|app\.oidc")


class OurAlgorithms(jws.JWSRegistry):
    """These three and no other, without joserfc's warning that EdDSA has a newer name (RFC 9864)."""

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise ValueError("not an algorithm of ours")
        return self.algorithms[name]


_REGISTRY: Final = OurAlgorithms()


def generate(alg: str) -> Key:
    """Return a new private key for this algorithm.

    :raises ValueError: for one that we don't sign with
    """
    if alg == "RS256":
        return RSAKey.generate_key(2048)
    if alg == "ES256":
        return ECKey.generate_key("P-256")
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    raise ValueError(f"no keys for {alg!r}")


def private_key(alg: str, der: bytes) -> Key:
    """Return a private key of ours. Checking that its numbers are a key takes 80 ms: they were one when sealed."""
    loaded: Any = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    key: Key = _OURS[alg].import_key(loaded)
    return key


def public_key(alg: str, public: dict[str, Any]) -> Key:
    """Return a public key of ours from its JWK."""
    key: Key = _OURS[alg].import_key(public)
    return key


def sign(header: dict[str, Any], payload: bytes, key: Key) -> str:
    """Return a compact JWS (RFC 7515, section 3.1) by a key of ours."""
    return jws.serialize_compact(header, payload, key, registry=_REGISTRY)


def claims_of(token: str, key: Key) -> dict[str, Any] | None:
    """Return the claims of a token that this key of ours signed; None for any other."""
    try:
        return jwt.decode(token, key, registry=_REGISTRY).claims
    except (JoseError, ValueError):
        return None


def key_of_client(key: dict[str, Any]) -> jwk.Key | None:
    """Return a client's public key; None for what can't be read as one."""
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
    """Whether a client's key has signed ``token``, a compact JWS, by an algorithm for clients."""
    try:
        jws.deserialize_compact(token, key, registry=_OF_CLIENTS)
    except (JoseError, ValueError, TypeError):
        return False
    return True
