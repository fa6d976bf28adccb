"""/oauth/token, /oauth/revoke and /oauth/introspect: the endpoints that clients call directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, after_this_request

from app.extensions import db, settings
from app.groups.service import groups_of
from app.oidc import access_tokens, bp, devices, dpop, grants
from app.oidc.access_tokens import PresentedToken
from app.oidc.client_auth import authenticate
from app.oidc.clients import DEVICE_CODE, Client
from app.oidc.errors import OAuthError, json_response
from app.oidc.grants import Redeemed
from app.oidc.id_tokens import id_token
from app.oidc.models import Grant
from app.oidc.parameters import form_fields, required, words
from app.oidc.resources import resources_of
from app.oidc.subjects import sid_for, subject_for
from app.web.commit import view_commit

Fields = Mapping[str, str]


@bp.post("/oauth/token")
def token() -> Response:
    """Exchange a code, a refresh token or a device code for tokens (RFC 6749, section 3.2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client = authenticate(fields)
    kind = required(fields, "grant_type")
    exchange = EXCHANGES.get(kind)
    if exchange is None:
        raise OAuthError("unsupported_grant_type", "There is no such grant_type.")
    if kind not in client.grant_types:
        raise OAuthError("unauthorized_client", "The client is not registered for this grant_type.")
    return json_response(exchange(fields, client))


@bp.post("/oauth/revoke")
def revoke() -> Response:
    """Revoke a token of the calling client. An invalid token gets the same response (RFC 7009, section 2.2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client = authenticate(fields)
    presented_token = required(fields, "token")
    grant_id = grants.grant_id_of(presented_token)
    if grant_id is not None:
        grants.revoke_by_token(grant_id, presented_token, client)
    else:
        access_tokens.revoke(presented_token, client)
    return json_response({})


@bp.post("/oauth/introspect")
def introspect() -> Response:
    """Tell a service whether a token is valid, and what it allows (RFC 7662, section 2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client = authenticate(fields)
    if client.is_public:
        raise OAuthError("unauthorized_client", "A client without a secret can't ask about tokens.", status=403)
    found = access_tokens.find(required(fields, "token"))
    if found is None or not _may_introspect(client, found) or not _may_use_service(client, found):
        return json_response({"active": False})
    facts: dict[str, Any] = {
        "active": True,
        "scope": " ".join(found.scopes),
        "client_id": found.client.id,
        "token_type": token_type(found.jkt),
        "exp": int(found.expires_at.timestamp()),
        "iat": int(found.created_at.timestamp()),
        "sub": subject_for(found.handle, found.client),
        "aud": found.resource.split() or settings.public_url,
        "iss": settings.public_url,
        "auth_time": int(found.authenticated_at.timestamp()),
        "acr": f"aal{found.level}",
        "sid": sid_for(found.session_id, found.client.id),
    }
    return json_response(facts | ({"cnf": {"jkt": found.jkt}} if found.jkt else {}))


def _may_introspect(client: Client, found: PresentedToken) -> bool:
    """Return whether a client may introspect a token: its own, one for its service, or any if registered to do so."""
    is_its_own = found.client.id == client.id
    return client.introspects or is_its_own or bool(set(found.resource.split()) & set(client.serves))


def _may_use_service(client: Client, found: PresentedToken) -> bool:
    """Return whether the user may use what ``client`` serves for any app, if the token is for that."""
    open_to_all = set(found.resource.split()) - set(found.client.resources)
    return open_to_all.isdisjoint(client.serves) or client.admits(found.groups)


def _exchange_code(fields: Fields, client: Client) -> dict[str, object]:
    code, redirect_uri = required(fields, "code"), required(fields, "redirect_uri")
    jkt = dpop.thumbprint(client)
    redeemed = grants.redeem(code, client, redirect_uri, fields.get("code_verifier", ""), jkt)
    return token_response(redeemed, client, redeemed.grant.scopes, _resource(fields, redeemed.grant, client), jkt)


def _exchange_refresh_token(fields: Fields, client: Client) -> dict[str, object]:
    refresh_token, jkt = required(fields, "refresh_token"), dpop.thumbprint(client)
    redeemed = grants.refresh(refresh_token, client, jkt)
    granted = redeemed.grant.scopes.split()
    requested = words(fields, "scope") or granted
    if not set(requested) <= set(granted):
        raise _undo_exchange(OAuthError("invalid_scope", "scope names more than was granted."))
    narrowed = " ".join(scope for scope in granted if scope in requested)
    return token_response(redeemed, client, narrowed, _resource(fields, redeemed.grant, client), jkt, refreshed=True)


def _exchange_device_code(fields: Fields, client: Client) -> dict[str, object]:
    device_code, jkt = required(fields, "device_code"), dpop.thumbprint(client)
    redeemed = devices.redeem(device_code, client, jkt)
    return token_response(redeemed, client, redeemed.grant.scopes, _resource(fields, redeemed.grant, client), jkt)


def _resource(fields: Fields, grant: Grant, client: Client) -> str:
    """Return the resources of an access token: those of its grant, or some of them (RFC 8707, section 2.2).

    No extra statement if all are listed for the client.

    :raises OAuthError: ``invalid_target`` for others, and for those no longer available to this app or this user
    """
    requested, granted = words(fields, "resource"), grant.resource.split()
    if not set(requested) <= set(granted):
        raise _undo_exchange(OAuthError("invalid_target", "resource names more than was granted."))
    try:
        resource, served_by = resources_of({"resource": " ".join(requested or granted)}, client)
    except OAuthError as error:
        raise _undo_exchange(error) from None
    groups = groups_of(grant.user_id) if any(each.groups for each in served_by) else ()
    if not all(each.admits(groups) for each in served_by):
        raise _undo_exchange(OAuthError("invalid_target", "The person may no longer use one of the resources."))
    return resource


def _undo_exchange(error: OAuthError) -> OAuthError:
    """Undo the exchange, so that what was presented can still be exchanged by a narrower request."""
    db.session.rollback()
    return error


def token_response(
    redeemed: Redeemed, client: Client, granted: str, resource: str, jkt: str | None, *, refreshed: bool = False
) -> dict[str, object]:
    """Return the response to a successful exchange (RFC 6749, section 5.1).

    One statement, or two if claims were requested in the ID token.

    :param granted: scopes; those that the client may no longer ask for are left out
    :param jkt: thumbprint of the key that the access token will be bound to, or None
    :raises OAuthError: ``invalid_scope`` if none is left
    """
    grant, scopes = redeemed.grant, client.still_allowed(granted)
    if not scopes:
        raise _undo_exchange(OAuthError("invalid_scope", "The client may no longer ask for any of the scopes."))
    access = access_tokens.issue(grant, redeemed.handle, client, scopes, resource, jkt)
    facts: dict[str, object] = {
        "access_token": access.token,
        "token_type": token_type(jkt),
        "expires_in": access.expires_in,
        "scope": " ".join(scopes),
    }
    if redeemed.refresh_token:
        facts["refresh_token"] = redeemed.refresh_token
    if "openid" in scopes:
        facts["id_token"] = id_token(grant, redeemed.handle, client, access, refreshed=refreshed)
    return facts


def token_type(jkt: str | None) -> str:
    """Return how to present a token that is bound to this key, or to none (RFC 9449, section 7)."""
    return "DPoP" if jkt else "Bearer"


EXCHANGES: dict[str, Callable[[Fields, Client], dict[str, object]]] = {
    "authorization_code": _exchange_code,
    "refresh_token": _exchange_refresh_token,
    DEVICE_CODE: _exchange_device_code,
}
