"""Access tokens: issuing them, and looking them up when a client presents one.

Every token is stored as a row keyed by its digest, including JWTs, so that introspection reports a revocation
immediately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.extensions import execute_update, settings
from app.groups.service import group_names, names_in
from app.oidc import keys
from app.oidc.clients import Client, clients_in_memory, enabled_client_of
from app.oidc.grant_conditions import outlasts_client, session_is_open
from app.oidc.models import AccessToken, Grant, OAuthClient
from app.oidc.subjects import sid_for, subject_for
from app.users import Identity, User

_token, _grant, _user = AccessToken.__table__, Grant.__table__, User.__table__
_INSERT = CompiledStatement.into(_token)
_app = OAuthClient.__table__
_CLIENTS = Detached(OAuthClient)
_KINDS = ("email", "phone", "username")
_identities = {kind: Identity.__table__.alias(kind) for kind in _KINDS}


def _join_identities(joined: Any) -> Any:
    for kind, each in _identities.items():
        its_own = sa.and_(each.c.user_id == _user.c.id, each.c.kind == kind, each.c.is_primary)
        joined = joined.outerjoin(each, its_own)
    return joined


_joined = (
    _token.join(_grant, _grant.c.id == _token.c.grant_id)
    .join(_user, _user.c.id == _grant.c.user_id)
    .outerjoin(_app, _app.c.id == _grant.c.client_id)
)
_is_current = (
    _token.c.digest == sa.bindparam("digest"),
    _token.c.expires_at > sa.bindparam("now"),
    _grant.c.revoked_at.is_(None),
    _user.c.disabled_at.is_(None),
    _user.c.deletes_at.is_(None),
    outlasts_client,
)
_stored = (
    *(_token.c.scopes, _token.c.resource, _token.c.jkt, _token.c.created_at, _token.c.expires_at),
    *(_grant.c.session_id, _grant.c.level, _grant.c.authenticated_at, _grant.c.claims),
    *(_user.c.handle, _user.c.name, _user.c.language),
)
"""The fields of a ``PresentedToken`` after the first three, in their order."""

_columns = (
    *_stored, _grant.c.client_id, group_names(_user.c.id), _grant.c.offline, session_is_open.label("is_open"), *_app.c
)  # fmt: skip
_FIND = CompiledStatement(sa.select(*_columns).select_from(_joined).where(*_is_current))
_found_identities = [column for each in _identities.values() for column in (each.c.value, each.c.confirmed_at)]
_FIND_WITH_CLAIMS = CompiledStatement(
    sa.select(*_columns, *_found_identities).select_from(_join_identities(_joined)).where(*_is_current)
)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token that was just issued. Only its digest is stored.

    :ivar expires_in: lifetime in seconds
    :ivar jkt: thumbprint of the key it is bound to (RFC 9449), or None
    """

    token: str
    expires_in: int
    jkt: str | None = None


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A valid access token that was presented, with its client and what is needed of its grant and account.

    :ivar groups: names of the account's groups
    :ivar identities: by kind, the primary identity and whether it is confirmed; empty if they weren't loaded
    :ivar granted: its scopes, joined
    :ivar jkt: thumbprint of the key it is bound to, or None
    :ivar level: assurance level of the grant; the next two fields are the grant's, too
    :ivar handle: handle of the account; the next two fields are the account's, too
    """

    client: Client
    groups: tuple[str, ...]
    identities: dict[str, tuple[str, bool]]
    granted: str
    resource: str
    jkt: str | None
    created_at: datetime
    expires_at: datetime
    session_id: str
    level: int
    authenticated_at: datetime
    claims: dict[str, list[str]]
    handle: str
    name: str
    language: str

    @property
    def scopes(self) -> list[str]:
        """Scopes granted by the token that its client may still ask for, in their order."""
        return self.client.still_allowed(self.granted)


def issue(
    grant: Grant, handle: str, client: Client, scopes: Sequence[str], resource: str, jkt: str | None = None
) -> IssuedToken:
    """Issue an access token for a grant. One INSERT."""
    is_jwt = client.access_token == "jwt"  # noqa: S105 - a format
    lifetime = settings.oauth_jwt_lifetime if is_jwt else settings.oauth_access_token_lifetime
    now = clock.now()
    if is_jwt:
        token = _jwt(grant, handle, client, scopes, resource, jkt)
    else:
        token = secrets.prefixed_token(secrets.ACCESS_PREFIX)
    _INSERT.run(
        digest=secrets.digest(token), grant_id=grant.id, scopes=" ".join(scopes), resource=resource, created_at=now,
        expires_at=now + lifetime, jkt=jkt,
    )  # fmt: skip
    return IssuedToken(token, int(lifetime.total_seconds()), jkt)


def _jwt(grant: Grant, handle: str, client: Client, scopes: Sequence[str], resource: str, jkt: str | None) -> str:
    """Return a signed JWT access token, which other services can verify themselves (RFC 9068, section 2.2)."""
    now = int(clock.unix())
    audience = resource.split() or [settings.public_url]
    claims: dict[str, Any] = {
        "iss": settings.public_url, "aud": audience if len(audience) > 1 else audience[0],
        "sub": subject_for(handle, client), "client_id": client.id, "iat": now,
        "exp": now + int(settings.oauth_jwt_lifetime.total_seconds()), "jti": secrets.row_id(),
        "scope": " ".join(scopes), "auth_time": int(grant.authenticated_at.timestamp()), "acr": f"aal{grant.level}",
        "sid": sid_for(grant.session_id, client.id),
    }  # fmt: skip
    if jkt:
        claims["cnf"] = {"jkt": jkt}
    return keys.sign(claims, client.id_token_alg, typ="at+jwt")


def find(token: str) -> PresentedToken | None:
    """Return a valid access token, or None. One statement.

    A token is not valid if its client is gone or disabled, or is restricted to groups the account isn't in. Nor if the
    session has ended, unless the grant has ``offline_access`` and its client may still ask for it.
    """
    found = _FIND.first_without_session(digest=secrets.digest(token), now=clock.now())
    return _read_presented(found, {}) if found is not None else None


def find_with_claims(token: str) -> PresentedToken | None:
    """Like ``find``, but also load the identities that the account's claims are made of. One statement."""
    found = _FIND_WITH_CLAIMS.first_without_session(digest=secrets.digest(token), now=clock.now())
    if found is None:
        return None
    more = found[len(_columns) :]
    values = zip(_KINDS, more[::2], more[1::2], strict=True)
    identities = {kind: (value, confirmed_at is not None) for kind, value, confirmed_at in values if value is not None}
    return _read_presented(found, identities)


def _read_presented(found: Sequence[Any], identities: dict[str, tuple[str, bool]]) -> PresentedToken | None:
    *stored, client_id, group_list, is_offline, is_open = found[: len(_stored) + 4]
    (row,) = _CLIENTS.read(found[len(_stored) + 4 :])
    client, groups = clients_in_memory().get(client_id) or (row and enabled_client_of(row)), tuple(names_in(group_list))
    if client is None or not client.admits(groups):
        return None
    if not is_open and not (is_offline and "offline_access" in client.scopes):
        return None
    return PresentedToken(client, groups, identities, *stored)


def revoke(token: str, client: Client) -> int:
    """Revoke an access token of ``client``; return how many were revoked."""
    its_own = sa.exists().where(_grant.c.id == _token.c.grant_id, _grant.c.client_id == client.id)
    return execute_update(sa.delete(AccessToken).where(_token.c.digest == secrets.digest(token), its_own))
