"""Clients that register themselves (RFC 7591), and change or delete their registration (RFC 7592).

There are two kinds of token: an initial access token from the operator registers a limited number of clients, and each
client gets a registration access token of its own. Both are stored as digests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.crypto import secrets
from app.extensions import db, execute_update
from app.oidc import client_store
from app.oidc.client_metadata import read_metadata, registered_client
from app.oidc.client_secrets import INITIAL_PREFIX, REGISTRATION_PREFIX, new_secret
from app.oidc.clients import REGISTERED, Client, client_of, clients_in_memory, is_client_id
from app.oidc.models import OAuthClient, RegistrationToken

BY = "registration"
METHODS_WITHOUT_SECRET = ("none", "private_key_jwt")

_token = RegistrationToken.__table__.c
_USE = (
    sa.update(RegistrationToken)
    .where(_token.digest == sa.bindparam("used"), _token.uses_left > 0, _token.expires_at > sa.bindparam("now"))
    .values(uses_left=_token.uses_left - 1)
)


@dataclass(frozen=True, slots=True)
class RegistrationResult:
    """A client that was registered or changed, and the values that are returned only once.

    :ivar secret: a new one, or ""
    :ivar token: its registration access token, if it was just registered
    """

    client: Client
    secret: str = ""
    token: str = ""
    issued_at: datetime = field(default_factory=clock.now)


def may_register(token: str) -> bool:
    """Return whether an initial access token can register a client now, without using it. One statement."""
    if not secrets.has_prefix(token, INITIAL_PREFIX):
        return False
    found = sa.select(_token.digest).where(
        _token.digest == secrets.digest(token), _token.uses_left > 0, _token.expires_at > clock.now()
    )
    return db.session.scalar(found) is not None


def register(token: str, metadata: dict[str, Any]) -> RegistrationResult | None:
    """Register a client; return None if a concurrent request has just used up the token.

    :raises OAuthError: like ``read_metadata``
    """
    fields = read_metadata(metadata)
    secret = "" if fields["auth_method"] in METHODS_WITHOUT_SECRET else new_secret()
    client = registered_client(secrets.letters(16), _digests(secret), fields)
    if execute_update(_USE, {"used": secrets.digest(token), "now": clock.now()}) != 1:
        return None
    own = secrets.prefixed_token(REGISTRATION_PREFIX)
    client_store.create(client, by=BY, secret=secret, registration_token=own)
    return RegistrationResult(client, secret, own)


def find_registered(client_id: str, token: str) -> OAuthClient | None:
    """Return the row of the enabled client that this registration access token belongs to. One statement."""
    if not secrets.has_prefix(token, REGISTRATION_PREFIX) or client_id in clients_in_memory():
        return None
    row = db.session.get(OAuthClient, client_id) if is_client_id(client_id) else None
    if row is None or row.disabled_at is not None or row.registration_digest is None:
        return None
    return row if secrets.same(row.registration_digest, secrets.digest(token)) else None


def has_secret(row: OAuthClient, sent_secret: object) -> bool:
    """Return whether this is the client's newest secret: it may be sent back but not chosen (RFC 7592, section 2.2)."""
    if not isinstance(sent_secret, str) or row.secret_digest is None:
        return False
    return secrets.same(row.secret_digest, secrets.digest(sent_secret))


def replace(row: OAuthClient, metadata: dict[str, Any]) -> RegistrationResult:
    """Replace a client's registration. What an operator decides, such as its groups, is kept; trust is not.

    :raises OAuthError: like ``read_metadata``
    """
    before = client_of(row)
    fields = before.model_dump(include=set(REGISTERED)) | read_metadata(metadata) | {"consent": "ask"}
    had, has = (method not in METHODS_WITHOUT_SECRET for method in (before.auth_method, fields["auth_method"]))
    secret = new_secret() if has and not had else ""
    digests = _digests(secret) if secret else before.secret_digests if has else ()
    client = registered_client(row.id, digests, fields)
    client_store.change(client, by=BY, secret=None if has and had else secret)
    return RegistrationResult(client, secret)


def remove(client_id: str) -> None:
    """Delete a client and everything it was granted."""
    client_store.delete(client_id, by=BY)


def _digests(secret: str) -> tuple[str, ...]:
    return (secrets.digest(secret),) if secret else ()
