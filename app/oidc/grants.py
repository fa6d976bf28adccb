"""Grants: issued with a code, redeemed once, refreshed, revoked.

A grant is valid while its account is active and, unless it has ``offline_access``, the session that issued it is open.
Once its client may no longer ask for ``offline_access``, its tokens end with that session, too. If its client is
restricted to groups, the account must also be in one of them. Single use is enforced by a conditional UPDATE: of any
number of concurrent requests one succeeds, on any number of servers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.crypto import secrets
from app.crypto.secrets import base64url
from app.db.compiled import CompiledStatement, Detached
from app.extensions import db, execute_update, keyring, settings
from app.groups.service import is_member_of_any
from app.oidc.authorization import Authorization
from app.oidc.clients import Client
from app.oidc.emails import notify_of_reuse
from app.oidc.errors import OAuthError
from app.oidc.grant_conditions import is_active, is_pending, outlasts_client, session_is_open
from app.oidc.models import Grant
from app.sessions import assurance
from app.sessions.models import AuthSession
from app.users import User

CODE_LIFETIME = timedelta(seconds=60)
REPEAT_GRACE_PERIOD = timedelta(seconds=30)
"""Grace period during which repeating the exchange of a refresh token returns the same new token.

The client may never have received the first response.
"""

MAX_REPEATS = 3
_ID = 32

_table, _user = Grant.__table__, User.__table__
_c = _table.c
_INSERT = CompiledStatement.into(_table)
_GRANTS = Detached(Grant)

_handle = sa.select(_user.c.handle).where(_user.c.id == _c.user_id).scalar_subquery()


class _MemberStatement:
    """An UPDATE of a grant, restricted to one client, and to accounts allowed to use that client."""

    def __init__(self, statement: sa.Update) -> None:
        self._statement = statement
        self._compiled: dict[int, CompiledStatement] = {}

    def first(self, client: Client, **values: Any) -> Sequence[Any] | None:
        """Return the grant's row and its account's handle, or None."""
        named = {f"group_{place}": name for place, name in enumerate(client.groups)}
        compiled = self._compiled.get(len(named))
        if compiled is None:
            parameters = [sa.bindparam(name, type_=sa.String) for name in named]
            condition = [is_member_of_any(_c.user_id, parameters)] if named else []
            statement = self._statement.where(*condition).returning(*_table.columns, _handle)
            compiled = self._compiled[len(named)] = CompiledStatement(statement)
        return compiled.first(client=client.id, **named, **values)


_REDEEM = _MemberStatement(
    sa.update(_table)
    .where(_c.code_digest == sa.bindparam("code"), _c.client_id == sa.bindparam("client"))
    .where(_c.redirect_uri == sa.bindparam("uri"), _c.code_used_at.is_(None))
    .where(_c.code_expires_at > sa.bindparam("now"), *is_pending, is_active, session_is_open)
    .where(sa.func.coalesce(_c.code_challenge, "") == sa.bindparam("challenge"))
    .where(sa.or_(_c.jkt.is_(None), _c.jkt == sa.bindparam("key")))
    .values(
        code_used_at=sa.bindparam("now"),
        jkt=sa.bindparam("bound", type_=sa.String),
        refresh_digest=sa.bindparam("refresh", type_=sa.String),
        refreshed_at=sa.bindparam("now"),
        expires_at=sa.bindparam("until"),
    )
)
_is_own = (_c.id == sa.bindparam("grant"), _c.client_id == sa.bindparam("client"))
_REDEEM_DEVICE_GRANT = _MemberStatement(
    sa.update(_table)
    .where(*_is_own, *is_pending, is_active, session_is_open)
    .values(
        code_used_at=sa.bindparam("now"),
        jkt=sa.bindparam("bound", type_=sa.String),
        refresh_digest=sa.bindparam("refresh", type_=sa.String),
        refreshed_at=sa.bindparam("now"),
        expires_at=sa.bindparam("until"),
    )
)
_outlasts_session = sa.and_(_c.offline, sa.bindparam("lasts", type_=sa.Boolean))
_is_usable = (
    _c.expires_at > sa.bindparam("now"),
    _c.revoked_at.is_(None),
    is_active,
    outlasts_client,
    sa.or_(_outlasts_session, session_is_open),
)
"""As ``grant_conditions.is_valid``, for a client that may still ask for ``offline_access`` (``lasts``), or may not."""

_is_bound = sa.or_(_c.jkt.is_(None), _c.jkt == sa.bindparam("key"))
_EXCHANGE = _MemberStatement(
    sa.update(_table)
    .where(*_is_own, *_is_usable, _is_bound, _c.refresh_digest == sa.bindparam("old"))
    .where(_c.refreshed_at > sa.bindparam("unused"))
    .values(
        previous_digest=_c.refresh_digest,
        refresh_digest=sa.bindparam("new"),
        refreshed_at=sa.bindparam("now"),
        repeats=0,
    )
)
_REPEAT = _MemberStatement(
    sa.update(_table)
    .where(*_is_own, *_is_usable, _is_bound, _c.previous_digest == sa.bindparam("old"))
    .where(_c.refresh_digest == sa.bindparam("new"), _c.refreshed_at > sa.bindparam("lately"))
    .where(_c.repeats < MAX_REPEATS)
    .values(repeats=_c.repeats + 1)
)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A grant whose code or refresh token was just accepted.

    :ivar handle: handle of its account
    :ivar refresh_token: the next one, of which only the digest is stored; None for a client that gets none
    """

    grant: Grant
    handle: str
    refresh_token: str | None


def issue_code(
    authorization: Authorization, scopes: Sequence[str], session: AuthSession, *, request_id: str = ""
) -> str:
    """Issue a code to the user of ``session``. Only its digest is stored. One INSERT.

    :param request_id: id of the stored request that it answers, for ``repeated_code``; "" for none
    """
    code, now = _derive_code(request_id, session) if request_id else secrets.token(), clock.now()
    row = _row(
        authorization.client,
        scopes,
        session,
        now,
        resource=authorization.resource,
        claims=authorization.claims,
        jkt=authorization.jkt,
    ) | {
        "id": _grant_id_for_code(code),
        "code_digest": secrets.digest(code),
        "code_expires_at": now + CODE_LIFETIME,
        "expires_at": now + CODE_LIFETIME,
        "redirect_uri": authorization.redirect_uri,
        "code_challenge": authorization.code_challenge,
        "nonce": authorization.nonce,
    }
    _INSERT.run(**row)
    return code


def repeated_code(request_id: str, session: AuthSession) -> str | None:
    """Return the code that answered a stored request in this session, while it can be exchanged; else None.

    Nothing is issued: if a button is clicked twice, both responses have the same code, and the browser shows the
    second.
    """
    codes = {secrets.digest(code): code for code in (_derive_code(request_id, session, kid) for kid in keyring.kids)}
    is_pending = (_c.code_used_at.is_(None), _c.code_expires_at > clock.now(), _c.revoked_at.is_(None))
    found = db.session.scalar(sa.select(_c.code_digest).where(_c.code_digest.in_(list(codes)), *is_pending))
    return codes[found] if found is not None else None


def issue_to_device(
    client: Client, scopes: Sequence[str], session: AuthSession, *, resource: str, lifetime: timedelta
) -> str:
    """Issue a grant whose tokens a device has to fetch within ``lifetime``; return its id. One INSERT."""
    now = clock.now()
    row = _row(client, scopes, session, now, resource=resource, claims={}, jkt=None) | {"expires_at": now + lifetime}
    _INSERT.run(**row)
    return str(row["id"])


def _row(
    client: Client,
    scopes: Sequence[str],
    session: AuthSession,
    now: datetime,
    *,
    resource: str,
    claims: dict[str, Any],
    jkt: str | None,
) -> dict[str, Any]:
    return {
        "id": secrets.row_id(),
        "client_id": client.id,
        "user_id": session.user_id,
        "session_id": session.session_id,
        "scopes": " ".join(scopes),
        "resource": resource,
        "claims": claims,
        "offline": "offline_access" in scopes,
        "amr": session.amr,
        "level": assurance.level(session, now),
        "authenticated_at": session.authenticated_at,
        "created_at": now,
        "redirect_uri": "",
        "jkt": jkt,
        "repeats": 0,
    }


def redeem(code: str, client: Client, redirect_uri: str, verifier: str, jkt: str | None) -> Redeemed:
    """Exchange a code. One statement.

    Using a code again revokes what its first use issued (RFC 6749, section 4.1.2).

    :param verifier: "" for none; one for a code without a challenge is rejected (RFC 9700, section 4.8.2)
    :param jkt: thumbprint of the key that the request proves, or None (RFC 9449)
    :raises OAuthError: ``invalid_grant``
    """
    now = clock.now()
    refresh_token = first_refresh_token(_grant_id_for_code(code), client)
    row = _REDEEM.first(
        client, code=secrets.digest(code), uri=redirect_uri, now=now,
        challenge=_challenge(verifier) if verifier else "", key=jkt or "", bound=_key_to_bind(client, jkt),
        refresh=secrets.digest(refresh_token) if refresh_token else None,
        until=now + settings.oauth_refresh_absolute,
    )  # fmt: skip
    if row is None:
        _revoke_reused_grant(_c.code_digest == secrets.digest(code), client, _c.code_used_at.is_not(None))
        raise OAuthError("invalid_grant", "The code is invalid, has expired or was used before.")
    return _redeemed(row, refresh_token)


def redeem_device_grant(grant_id: str, client: Client, jkt: str | None) -> Redeemed:
    """Activate the grant of a device that has just used its code. One statement.

    :param jkt: thumbprint of the key that the request proves, or None (RFC 9449)
    :raises OAuthError: ``invalid_grant`` if the session that issued it has ended, or its account is closed
    """
    now = clock.now()
    refresh_token = first_refresh_token(grant_id, client)
    row = _REDEEM_DEVICE_GRANT.first(
        client, grant=grant_id, now=now, bound=_key_to_bind(client, jkt),
        refresh=secrets.digest(refresh_token) if refresh_token else None,
        until=now + settings.oauth_refresh_absolute,
    )  # fmt: skip
    if row is None:
        raise OAuthError("invalid_grant", "The session in which the person allowed this has ended.")
    return _redeemed(row, refresh_token)


def refresh(token: str, client: Client, jkt: str | None) -> Redeemed:
    """Exchange a refresh token for the next one. One statement; two for a repeated request.

    If the same client repeats the exchange within 30 s, it gets the same new token. Any other reuse means that the
    token was copied, and there is no telling which copy is the owner's, so the grant is revoked (RFC 9700, section
    4.14.2) and the user is notified. A repeat that is refused because the user has lost access, say, is no such reuse.

    :raises OAuthError: ``invalid_grant``
    """
    invalid_grant = OAuthError("invalid_grant", "The refresh token is invalid, has expired or was used before.")
    if not secrets.has_prefix(token, secrets.GRANT_PREFIX, _ID):
        raise invalid_grant
    now, grant_id = clock.now(), token[len(secrets.GRANT_PREFIX) :][:_ID]
    same = {"grant": grant_id, "now": now, "old": secrets.digest(token), "key": jkt or ""}
    same["lasts"] = "offline_access" in client.scopes
    successors = [_successor(token, grant_id, kid) for kid in keyring.kids]
    new = successors[0]
    row = _EXCHANGE.first(client, **same, new=secrets.digest(new), unused=now - settings.oauth_refresh_idle)
    for each in successors if row is None else ():
        new = each
        if row := _REPEAT.first(client, **same, new=secrets.digest(new), lately=now - REPEAT_GRACE_PERIOD):
            break
    if row is None:
        used = _was_reused(secrets.digest(token), jkt or "", now)
        if (user_id := _revoke_reused_grant(_c.id == grant_id, client, used)) is not None:
            notify_of_reuse(user_id, client)
        raise invalid_grant
    return _redeemed(row, new)


def revoke(*which: sa.ColumnElement[bool]) -> int:
    """Revoke grants and their tokens, immediately and on every replica; return how many were valid."""
    return execute_update(sa.update(Grant).where(*which, Grant.revoked_at.is_(None)).values(revoked_at=clock.now()))


def revoke_by_token(grant_id: str, refresh_token: str, client: Client) -> int:
    """Revoke the grant of a refresh token, the newest one or the one before; return how many were revoked."""
    digest = secrets.digest(refresh_token)
    newest = sa.or_(Grant.refresh_digest == digest, Grant.previous_digest == digest)
    return revoke(Grant.id == grant_id, Grant.client_id == client.id, newest)


def first_refresh_token(grant_id: str, client: Client) -> str | None:
    """Return a new refresh token for a grant; None for a client that gets none. It isn't stored."""
    if "refresh_token" not in client.grant_types:
        return None
    return secrets.prefixed_token(secrets.GRANT_PREFIX + grant_id)


def grant_id_of(refresh_token: str) -> str | None:
    """Return the id of the grant that a refresh token belongs to; None for anything else."""
    if not secrets.has_prefix(refresh_token, secrets.GRANT_PREFIX, _ID):
        return None
    return refresh_token[len(secrets.GRANT_PREFIX) :][:_ID]


def _key_to_bind(client: Client, jkt: str | None) -> str | None:
    """Return the key to bind refresh tokens to; None for clients that authenticate (RFC 9449, section 5)."""
    return jkt if client.is_public else None


def _redeemed(row: Sequence[Any], refresh_token: str | None) -> Redeemed:
    return Redeemed(_GRANTS.read(row)[0], row[-1], refresh_token)


def _revoke_reused_grant(named: sa.ColumnElement[bool], client: Client, used: sa.ColumnElement[bool]) -> int | None:
    """Revoke a grant whose code or refresh token was reused; return its user id, or None if it wasn't valid."""
    query = sa.select(Grant.user_id, Grant.id).where(named, _c.client_id == client.id, used)
    found = db.session.execute(query).first()
    if found is None or not revoke(Grant.id == found.id):
        return None
    record("app.token_reused", found.user_id, client=client.id, app=client.name)
    return int(found.user_id)


def _was_reused(digest: str, key: str, now: datetime) -> sa.ColumnElement[bool]:
    """Return whether a refresh token that was refused is an older one, and not just repeated in the grace period.

    :param key: thumbprint of the key that the request proves; "" for none
    """
    is_repeated = (
        _c.previous_digest.is_not(None),
        _c.previous_digest == digest,
        _c.refreshed_at > now - REPEAT_GRACE_PERIOD,
        _c.repeats < MAX_REPEATS,
        sa.or_(_c.jkt.is_(None), _c.jkt == key),
    )
    return sa.and_(_c.refresh_digest != digest, sa.not_(sa.and_(*is_repeated)))


def _derive_code(request_id: str, session: AuthSession, kid: str | None = None) -> str:
    """Return the code for a stored request in one session. It is a MAC, so it is the same each time.

    :param kid: id of the key; None for the current one
    """
    data = f"{request_id}:{session.session_id}".encode()
    mac = hmac.digest(keyring.derive("oauth-code", kid), data, hashlib.sha256)
    return base64url(mac)


def _grant_id_for_code(code: str) -> str:
    """Derive the id of a grant from its code, so that a refresh token can be made before the grant is looked up."""
    return secrets.digest(f"grant:{code}")[:_ID]


def _challenge(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier (RFC 7636, section 4.6)."""
    digest = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return base64url(digest)


def _successor(token: str, grant_id: str, kid: str) -> str:
    """Return the refresh token that follows ``token``. It is derived, so that a repeated request gets it again."""
    data = hmac.digest(keyring.derive("oauth-refresh", kid), token.encode(), hashlib.sha256)
    return secrets.derived_token(secrets.GRANT_PREFIX + grant_id, data)
