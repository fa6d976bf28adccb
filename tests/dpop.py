"""A client's DPoP key, and valid or invalid proofs signed with it (RFC 9449)."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any

from joserfc import jwk, jws

from tests.oidc import ISSUER


class ProofKey:
    """A key whose possession a client proves."""

    def __init__(self, alg: str = "ES256") -> None:
        kinds: dict[str, tuple[str, Any]] = {"ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
        kinds["Ed25519"] = kinds["EdDSA"]
        self.alg = alg
        self.key = jwk.generate_key(*kinds.get(alg, ("RSA", 2048)))

    @property
    def jkt(self) -> str:
        """Its thumbprint (RFC 7638)."""
        return str(self.key.thumbprint())

    def headers(
        self, path: str = "/oauth/token", method: str = "POST", *, token: str | None = None, **different: Any
    ) -> dict[str, str]:
        """Return the header with a new proof; with a token, also the Authorization header.

        :param different: claims, or header parameters prefixed with ``header_``; None leaves one out
        """
        sent = {"DPoP": self.proof(path, method, token=token, **different)}
        return sent | ({"Authorization": f"DPoP {token}"} if token else {})

    def proof(self, path: str, method: str = "POST", *, token: str | None = None, **different: Any) -> str:
        """Return a new proof."""
        from app import clock

        header: dict[str, Any] = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.key.as_dict(private=False)}
        claims: dict[str, Any] = {"jti": uuid.uuid4().hex, "htm": method, "htu": ISSUER + path}
        claims["iat"] = int(clock.unix())
        if token:
            claims["ath"] = encoded(hashlib.sha256(token.encode()).digest())
        for name, value in different.items():
            (header if name.startswith("header_") else claims)[name.removeprefix("header_")] = value
        header, claims = (
            {name: value for name, value in each.items() if value is not None} for each in (header, claims)
        )
        return self._signed(header, claims)

    def _signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Sign with this key, whatever the header says; joserfc would refuse to write some of these headers."""
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        algorithm = jws.JWSRegistry(algorithms=[self.alg]).get_alg(self.alg)
        return f"{signed}.{encoded(algorithm.sign(signed.encode(), self.key))}"


def encoded(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
