"""Stored authorization requests.

They wait for a user to sign in, confirm or consent, or for the browser that brings what its app has pushed (RFC 9126).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from werkzeug.datastructures import MultiDict

from app import clock
from app.crypto import secrets
from app.extensions import db, execute_update
from app.oidc.authorization import AuthorizationError, PageError, read_authorization
from app.oidc.clients import Client, is_client_id
from app.oidc.errors import OAuthError
from app.oidc.models import AuthorizationRequest
from app.oidc.parameters import (
    AUTHORIZATION_PARAMETERS,
    LOGOUT_PARAMETERS,
    MAX_VALUES,
    REPEATABLE,
    UNREADABLE,
    max_length_of,
)
from app.sessions.models import AuthSession
from app.web.idempotency import NONCE_HOLDS

LIFETIME = timedelta(hours=1)
"""Long enough to set up a second factor along the way."""

CONSENT = "consent.given"
"""Set in the parameters of a stored request once the user has consented. No request can send it."""

SHOWN = "consent.shown"
"""Likewise: the scopes that the user was asked about."""

REFUSED = "consent.refused"
"""Likewise: the session in which the user refused."""

URN = "urn:ietf:params:oauth:request_uri:"
PUSHED_LIFETIME = timedelta(seconds=60)
"""How long a pushed request can be started (RFC 9126, section 2.2)."""


def store(
    parameters: MultiDict[str, str], *, lifetime: timedelta = LIFETIME, pushed: bool = False
) -> AuthorizationRequest:
    """Store the parameters of a request, including invalid ones: they are validated when it is read."""
    stored = {
        name: _truncated(name, values)
        for name, values in parameters.lists()
        if name in AUTHORIZATION_PARAMETERS | LOGOUT_PARAMETERS
    }
    now = clock.now()
    row = AuthorizationRequest(
        id=secrets.row_id(), client_id=(stored.get("client_id") or [""])[0][:255], pushed=pushed, created_at=now,
        parameters=stored, expires_at=now + lifetime,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row


def _truncated(name: str, values: list[str]) -> list[str]:
    """Return what to store of a parameter: just enough to show that it exceeds a limit, and no NUL (PostgreSQL)."""
    most, longest = (MAX_VALUES if name in REPEATABLE else 1) + 1, max_length_of(name) + 1
    return [value[:longest].replace("\0", UNREADABLE) for value in values[:most]]


def find(request_id: str, *, answered: bool = False) -> AuthorizationRequest | None:
    """Return a request that a browser has brought and that isn't answered yet; None for any other text.

    :param answered: return one that was answered instead, within the time that counts as a double click
    """
    if not secrets.is_row_id(request_id):
        return None
    is_recent = AuthorizationRequest.done_at > clock.now() - NONCE_HOLDS
    state = is_recent if answered else AuthorizationRequest.done_at.is_(None)
    is_pending = (state, AuthorizationRequest.expires_at > clock.now())
    begun = sa.or_(AuthorizationRequest.pushed.is_(False), AuthorizationRequest.begun_at.is_not(None))
    found = sa.select(AuthorizationRequest).where(AuthorizationRequest.id == request_id, *is_pending, begun)
    return db.session.scalar(found)


def parameters_of(row: AuthorizationRequest) -> MultiDict[str, str]:
    """Return the parameters of a stored request."""
    return MultiDict([(name, value) for name, values in row.parameters.items() for value in values])


def mark_answered(row: AuthorizationRequest) -> bool:
    """Mark a request as answered; return False if it already was, or is gone."""
    is_pending = (AuthorizationRequest.id == row.id, AuthorizationRequest.done_at.is_(None))
    return execute_update(sa.update(AuthorizationRequest).where(*is_pending).values(done_at=clock.now())) == 1


def record_consent(row: AuthorizationRequest) -> None:
    """Record that the user has consented to this request. No parameter that is sent can do so."""
    row.parameters = row.parameters | {CONSENT: ["yes"]}


def has_consent(row: AuthorizationRequest) -> bool:
    """Return whether the user has consented to this request."""
    return CONSENT in row.parameters


def record_refusal(row: AuthorizationRequest, session: AuthSession) -> None:
    """Record the session in which the user refused."""
    row.parameters = row.parameters | {REFUSED: [session.session_id]}


def has_refused(row: AuthorizationRequest, session: AuthSession) -> bool:
    """Return whether the user refused in this session."""
    return session.session_id in row.parameters.get(REFUSED, ())


def record_shown_scopes(row: AuthorizationRequest, scopes: Sequence[str]) -> None:
    """Record which scopes the user is asked about."""
    row.parameters = row.parameters | {SHOWN: list(scopes)}


def has_shown_scopes(row: AuthorizationRequest, scopes: Sequence[str]) -> bool:
    """Return whether the user was asked about all of these scopes."""
    return set(scopes) <= set(row.parameters.get(SHOWN, ()))


def complete_prompt(row: AuthorizationRequest, prompt: str) -> None:
    """Record that the user has done what ``prompt`` requires."""
    left = " ".join(word for word in " ".join(row.parameters.get("prompt", [])).split() if word != prompt)
    parameters = {name: values for name, values in row.parameters.items() if name != "prompt"}
    row.parameters = parameters | ({"prompt": [left]} if left else {})


def push(parameters: MultiDict[str, str], client: Client, jkt: str | None) -> str:
    """Store a request of an authenticated client; return the ``request_uri`` that refers to it.

    :param jkt: thumbprint of the key that its code will be bound to, or None (RFC 9449, section 10.1)
    :raises OAuthError: if the authorization endpoint would reject it
    """
    if "request_uri" in parameters:
        raise OAuthError("invalid_request", "request_uri can't be pushed.")
    pushed_parameters = MultiDict(parameters)
    pushed_parameters["client_id"] = client.id
    if jkt is not None:
        pushed_parameters["dpop_jkt"] = jkt
    try:
        read_authorization(pushed_parameters, pushed_by=client)
    except PageError:
        raise OAuthError("invalid_request", "redirect_uri is not registered for this client.") from None
    except AuthorizationError as error:
        raise OAuthError(error.code, error.description) from None
    return URN + store(pushed_parameters, lifetime=PUSHED_LIFETIME, pushed=True).id


def is_pushed(parameters: MultiDict[str, str]) -> bool:
    """Return whether a request refers to a pushed one."""
    return parameters.get("request_uri", "").startswith(URN)


def claim_pushed(parameters: MultiDict[str, str]) -> AuthorizationRequest | None:
    """Claim the pushed request that its client names, which works once; None if there is none.

    From then on it waits for the user like any other. All parameters except ``request_uri`` and ``client_id`` are
    ignored.
    """
    uris, clients = parameters.getlist("request_uri"), parameters.getlist("client_id")
    request_id = uris[0].removeprefix(URN)
    if len(uris) != 1 or len(clients) != 1 or not secrets.is_row_id(request_id) or not is_client_id(clients[0]):
        return None
    now, row = clock.now(), AuthorizationRequest
    is_this = (row.id == request_id, row.client_id == clients[0])
    is_pending = (row.pushed, row.begun_at.is_(None), row.expires_at > now)
    begin = sa.update(row).where(*is_this, *is_pending).values(begun_at=now, created_at=now, expires_at=now + LIFETIME)
    return find(request_id) if execute_update(begin) else None
