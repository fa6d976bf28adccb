"""Client authentication for the endpoints that clients call (RFC 6749, section 2.3).

An unknown client, a disabled client and a wrong secret get the same response. Failures are counted per network address
and client, so that one app with an outdated secret doesn't block the other apps on the same machine. With
private_key_jwt, clients authenticate with a short-lived JWT that they signed (RFC 7523, section 3).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import unquote_plus

from flask import g, request

from app import clock, throttling
from app.audit import record
from app.crypto import secrets
from app.errors import Rejected
from app.extensions import settings
from app.oidc import cors
from app.oidc.client_keys import KINDS, is_signed, read_unverified, spend_proof
from app.oidc.clients import Client, find_client, is_client_id
from app.oidc.errors import OAuthError

Method = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

LIMIT = "clients"
CHALLENGE = 'Basic realm="Latchkey", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Credentials:
    """Client credentials sent with a request.

    :ivar secrets: candidates for the secret: as sent, and decoded
    """

    method: Method
    client_id: str
    secrets: tuple[str, ...] = ()
    assertion: str = ""


def authenticate(fields: Mapping[str, str]) -> Client:
    """Return the client that sent the current request.

    One statement, or none for a client of the clients file, and one more for an assertion.

    :param fields: form fields of the request body, each sent once
    :raises OAuthError: ``invalid_client`` (401); ``invalid_request`` if the request uses more than one method;
        ``temporarily_unavailable`` (429) after too many failures
    """
    credentials = _credentials(fields)
    about = _throttle_key(credentials.client_id)
    try:
        throttling.check(LIMIT, g.client_address, about=about)
        client = find_client(credentials.client_id)
        if client is not None and not (reason := _rejection_reason(client, credentials)):
            cors.set_request_client(client)
            return client
        throttling.take(LIMIT, g.client_address, about=about)
    except Rejected as rejected:
        raise _unavailable(rejected) from None
    _record_failure(client, credentials, reason if client is not None else "unknown")
    raise _invalid_client(credentials.method)


def named_client(fields: Mapping[str, str]) -> str:
    """Return the client id sent with a request, before anything is verified; "" for none.

    :raises OAuthError: if the credentials can't be read, like ``authenticate``
    """
    return _credentials(fields).client_id


def limit_public(client: Client) -> None:
    """Rate limit requests that store something and that anyone could send.

    Those come from public clients, and from clients that use keys of their own making (metadata documents).

    :raises Rejected: ``too_many_requests`` (429)
    """
    if client.is_public or client.source == "document":
        throttling.take("requests", g.client_address)


def _credentials(fields: Mapping[str, str]) -> Credentials:
    """Return the credentials sent with the request. An empty field counts as missing (RFC 6749, section 3.2)."""
    client_id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
    assertion, kind = fields.get("client_assertion", ""), fields.get("client_assertion_type", "")
    header = _basic()
    if (header is not None) + bool(secret) + bool(assertion or kind) > 1:
        raise OAuthError("invalid_request", "Authenticate the client by one method alone.")
    if header is not None:
        if client_id and client_id != header.client_id:
            raise OAuthError("invalid_request", "client_id is not the client of the Authorization header.")
        return header
    if assertion or kind:
        if kind != ASSERTION_TYPE or not assertion:
            raise OAuthError("invalid_request", f"Send client_assertion, and client_assertion_type {ASSERTION_TYPE}.")
        claimed = claimed_client(assertion)
        if client_id and client_id != claimed:
            raise OAuthError("invalid_request", "client_id is not the client of the assertion.")
        return Credentials("private_key_jwt", claimed, assertion=assertion)
    if secret:
        return Credentials("client_secret_post", client_id, (secret,))
    return Credentials("none", client_id)


def _basic() -> Credentials | None:
    """Return the credentials in the Authorization header; None if it is missing or uses another scheme.

    Client id and secret are form-encoded in it. Many clients skip the encoding, so the secret is also tried as sent.
    """
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(sent.strip().encode("ascii"), validate=True).decode()
        client_id, colon, secret = text.partition(":")
        decoded = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        colon = ""
    if not colon:
        raise _invalid_client("client_secret_basic")
    return Credentials("client_secret_basic", decoded[0], tuple(dict.fromkeys((decoded[1], secret))))


def _rejection_reason(client: Client, credentials: Credentials) -> str:
    """Return why the credentials don't authenticate ``client``, or "".

    Many programs also send a public client's id by HTTP Basic, with an empty secret (RFC 6749, section 2.3.1).
    """
    if client.is_public and credentials.method == "client_secret_basic":
        return "" if credentials.secrets == ("",) else "method"
    allowed = ("client_secret_basic", "client_secret_post") if client.auth_method == "secret" else (client.auth_method,)
    if credentials.method not in allowed:
        return "method"
    if credentials.method == "private_key_jwt":
        try:
            verify_assertion(credentials.assertion, client)
        except InvalidAssertion as fault:
            return str(fault)
    elif credentials.method != "none" and not _has_secret(client, credentials.secrets):
        return "secret"
    return ""


def _has_secret(client: Client, candidates: tuple[str, ...]) -> bool:
    """Compare with each accepted secret, in constant time."""
    given = [secrets.digest(each) for each in candidates]
    return any(secrets.same(digest, each) for digest in client.secret_digests for each in given)


def _throttle_key(client_id: str) -> str:
    """Return the key to count failures under: the client id, or "" for anything that can't be one."""
    return client_id if is_client_id(client_id) else ""


def _invalid_client(method: Method) -> OAuthError:
    challenge = CHALLENGE if method == "client_secret_basic" else ""
    return OAuthError("invalid_client", "Client authentication failed.", status=401, challenge=challenge)


def _unavailable(rejected: Rejected) -> OAuthError:
    text = "Client authentication failed too often from this network address."
    return OAuthError("temporarily_unavailable", text, status=429, retry_after=rejected.facts["retry_after"])


def _record_failure(client: Client | None, credentials: Credentials, reason: str) -> None:
    """Record the failure, at most once in a while, for an operator wondering why an app can't sign anyone in.

    Unknown client ids can be made up endlessly, so they are treated as one.
    """
    about = client.id if client is not None else ""
    if throttling.first_in_window("client.rejected", f"{about} {reason}", g.client_address):
        name = credentials.client_id if is_client_id(credentials.client_id) else ""
        record("client.rejected", autocommit=True, client=name, method=credentials.method, reason=reason)


# --- private_key_jwt ----------------------------------------------------------------------------


ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_ASSERTION_LENGTH = 8192
ASSERTION_LIFETIME = timedelta(minutes=5)
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
    if expires > now + ASSERTION_LIFETIME.total_seconds() + leeway:
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
    if len(assertion) > MAX_ASSERTION_LENGTH:
        raise InvalidAssertion("form")
    try:
        return read_unverified(assertion)
    except ValueError:
        raise InvalidAssertion("form") from None
