"""private_key_jwt: clients authenticate with a short-lived JWT that they signed (RFC 7523, section 3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app import clock
from app.extensions import settings
from app.oidc.client_keys import KINDS, is_signed, read_unverified, spend_proof

if TYPE_CHECKING:
    from app.oidc.clients import Client

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LENGTH = 8192
LIFETIME = timedelta(minutes=5)
LEEWAY = timedelta(seconds=30)
"""Allowed clock skew."""

ENDPOINTS = ("/oauth/token", "/oauth/par", "/oauth/device")
MAX_ID_LENGTH = 255


class InvalidAssertion(Exception):
    """A rejected assertion. Its text is the reason, for the audit event."""


def audiences() -> frozenset[str]:
    """Return the accepted audiences: the issuer and the endpoints (RFC 9126, section 2)."""
    return frozenset((settings.public_url, *(settings.public_url + path for path in ENDPOINTS)))


def claimed_client(assertion: str) -> str:
    """Return the client id that an assertion claims, without verifying anything; "" if there is none."""
    try:
        claims = _parts(assertion)[1]
    except InvalidAssertion:
        return ""
    claimed = claims.get("sub")
    return claimed if isinstance(claimed, str) else ""


def verify_assertion(assertion: str, client: Client) -> None:
    """Verify an assertion of ``client`` and mark it as used. One statement, if it is otherwise valid.

    :raises InvalidAssertion: with the reason
    """
    header, claims = _parts(assertion)
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in KINDS:
        raise InvalidAssertion("algorithm")
    if not is_signed(assertion, client.jwks or {}, alg, kid):
        raise InvalidAssertion("signature")
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise InvalidAssertion("issuer")
    _check_audience(claims.get("aud"))
    expires = _check_times(claims)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_ID_LENGTH:
        raise InvalidAssertion("jti")
    until = datetime.fromtimestamp(expires, UTC) + LEEWAY
    if not spend_proof("assertion", client.id, jti, until):
        raise InvalidAssertion("used")


def _check_audience(audience: object) -> None:
    """Accept only our own audiences: a service named alongside us could replay the assertion here."""
    named = audience if isinstance(audience, list) else [audience]
    if not named or not all(isinstance(each, str) and each in audiences() for each in named):
        raise InvalidAssertion("audience")


def _check_times(claims: dict[str, Any]) -> float:
    """Return the expiry of the assertion (Unix time). Raises InvalidAssertion."""
    now, leeway = clock.unix(), LEEWAY.total_seconds()
    expires, begins = _time(claims.get("exp")), _time(claims.get("nbf", 0))
    issued = _time(claims.get("iat", 0))
    if expires <= now - leeway:
        raise InvalidAssertion("expired")
    if expires > now + LIFETIME.total_seconds() + leeway:
        raise InvalidAssertion("lifetime")
    if begins > now + leeway or issued > now + leeway:
        raise InvalidAssertion("early")
    return expires


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e12 < value < 1e12:
        raise InvalidAssertion("time")
    return float(value)


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and claims of a compact JWS, without verifying it. Raises InvalidAssertion."""
    if len(assertion) > MAX_LENGTH:
        raise InvalidAssertion("form")
    try:
        return read_unverified(assertion)
    except ValueError:
        raise InvalidAssertion("form") from None
