"""DPoP (RFC 9449): a token that is bound to a key is only accepted with a proof signed by that key.

A proof is accepted for a minute, and once. We don't send nonces (section 8), since a proof can't be made more than that
minute ahead.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from flask import request

from app import clock
from app.crypto.secrets import base64url
from app.extensions import settings
from app.oidc.client_keys import KINDS, has_private_part, is_signed, read_unverified, spend_proof
from app.oidc.clients import Client
from app.oidc.errors import OAuthError

HEADER = "DPoP"
TYPE = "dpop+jwt"
MAX_LENGTH = 4096
TIME_TOLERANCE = timedelta(seconds=60)
"""Maximum difference between the time of a proof and ours, including clock skew."""

_PORTS = {"https": 443, "http": 80}


class InvalidProof(Exception):
    """A rejected proof. Its text is the reason, for the developer of the client."""


def thumbprint(client: Client) -> str | None:
    """Return the thumbprint of the key that this token request proves; None without a proof.

    :raises OAuthError: ``invalid_dpop_proof``
    """
    if HEADER not in request.headers:
        if client.require_dpop:
            raise OAuthError("invalid_dpop_proof", "This client has to send a DPoP proof.")
        return None
    try:
        return _verify_proof()
    except InvalidProof as fault:
        raise _proof_error(fault) from None


def requested_key(dpop_jkt: str | None) -> str | None:
    """Return the thumbprint of the key to bind to, from ``dpop_jkt`` or from a proof (section 10.1).

    :param dpop_jkt: value of ``dpop_jkt``
    :raises OAuthError: ``invalid_dpop_proof``; ``invalid_request`` if the two are different keys
    """
    if HEADER not in request.headers:
        return dpop_jkt
    try:
        proof_jkt = _verify_proof()
    except InvalidProof as fault:
        raise _proof_error(fault) from None
    if dpop_jkt is not None and dpop_jkt != proof_jkt:
        raise OAuthError("invalid_request", "dpop_jkt is not the key of the DPoP proof.")
    return proof_jkt


def check_token(token: str, jkt: str) -> None:
    """Check that a token bound to the key ``jkt`` was sent with a proof by that key (section 7.1).

    :raises OAuthError: ``invalid_dpop_proof``, or ``invalid_token`` for a proof by another key (401)
    """
    try:
        proof_jkt = _verify_proof(token)
    except InvalidProof as fault:
        error = _proof_error(fault)
    else:
        if proof_jkt == jkt:
            return
        error = OAuthError("invalid_token", "The token is bound to another key.")
    raise OAuthError(error.code, error.description, status=401, challenge=challenge(error.code))


def challenge(error: str = "") -> str:
    """Return the WWW-Authenticate value of a resource that accepts bound tokens."""
    error_part = f'error="{error}", ' if error else ""
    return f'{HEADER} {error_part}algs="{" ".join(KINDS)}"'


def _proof_error(fault: InvalidProof) -> OAuthError:
    return OAuthError("invalid_dpop_proof", f"The DPoP proof is refused: {fault}.")


def _verify_proof(token: str | None = None) -> str:
    """Return the thumbprint of the key that signed this request's proof. One statement, if it is otherwise valid.

    :param token: the access token that the proof must be for
    :raises InvalidProof: if it is no proof for this request, or was used before
    """
    proof = ",".join(request.headers.getlist(HEADER))  # joined the way servers do it: a proof has no comma
    if not proof:
        raise InvalidProof("it is missing")
    if len(proof) > MAX_LENGTH:
        raise InvalidProof("it is too long")
    try:
        header, claims = read_unverified(proof)
    except ValueError:
        raise InvalidProof("it is no JWT, or there are several") from None
    jkt = _verify_signature(proof, header)
    _check_request(claims, token)
    issued = _check_time(claims.get("iat"))
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise InvalidProof("jti is missing")
    if not spend_proof("dpop", jkt, jti, issued + TIME_TOLERANCE):
        raise InvalidProof("it was used before")
    return jkt


def _verify_signature(proof: str, header: dict[str, Any]) -> str:
    """Verify a proof with the key in its header; return the key's thumbprint (section 4.3, points 4 to 7)."""
    alg, key = header.get("alg"), header.get("jwk")
    if header.get("typ") != TYPE:
        raise InvalidProof(f"typ must be {TYPE}")
    if not isinstance(alg, str) or alg not in KINDS:
        raise InvalidProof(f"alg must be one of {', '.join(KINDS)}")
    if not isinstance(key, dict) or has_private_part(key):
        raise InvalidProof("jwk must be a public key")
    if not is_signed(proof, {"keys": [key]}, alg):
        raise InvalidProof("it is not signed by the key in it")
    from app.oidc import jose

    return jose.thumbprint(key)


def _check_request(claims: dict[str, Any], token: str | None) -> None:
    """Reject a proof for another request (points 8, 9 and 12)."""
    if claims.get("htm") != request.method:
        raise InvalidProof("htm is not the method of this request")
    if not _is_request_url(claims.get("htu")):
        raise InvalidProof("htu is not the address of this request")
    if token is not None and claims.get("ath") != _hash(token):
        raise InvalidProof("ath is not the hash of the access token")


def _is_request_url(htu: object) -> bool:
    """Return whether a URI is this request's, without query and fragment, and normalized (RFC 3986, 6.2.3)."""
    if not isinstance(htu, str):
        return False
    try:
        parts = urlsplit(htu)
        return (*_origin(parts), parts.path) == (*_origin(urlsplit(settings.origin)), settings.sub_path + request.path)
    except ValueError:
        return False


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None, bool]:
    """Return the parts that two URIs on the same server have in common. Raises ValueError."""
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme), "@" in parts.netloc


def _check_time(iat: object) -> datetime:
    """Return when a proof was made. Raises InvalidProof if that is too far in the past or the future."""
    if not isinstance(iat, (int, float)):  # true counts as 1, which is too far from now
        raise InvalidProof("iat is no number of seconds")
    now, most = clock.unix(), TIME_TOLERANCE.total_seconds()
    if not now - most <= iat <= now + most:
        raise InvalidProof("iat is too far from now")
    return datetime.fromtimestamp(iat, UTC)


def _hash(token: str) -> str:
    digest = hashlib.sha256(token.encode("ascii")).digest()
    return base64url(digest)
