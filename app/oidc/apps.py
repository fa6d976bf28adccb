"""A user's apps: those they can open, and those that have access to their account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.db.compiled import CompiledStatement
from app.extensions import db
from app.groups.service import group_names, names_in
from app.oidc import consents, grant_conditions, grant_ends, grants
from app.oidc.client_file import logo_path
from app.oidc.clients import Client, clients_in_memory, enabled_client_of, is_client_id
from app.oidc.models import Consent, Grant, OAuthClient
from app.users import User
from app.web.destinations import LauncherEntry, letter_of, registered_entries, tint_of

MAX_LISTED = 200
"""Maximum number of apps in each list."""

_user, _consent, _g = User.__table__, Consent.__table__, Grant.__table__.c
_CONSENTED = CompiledStatement(
    sa.select(group_names(_user.c.id), _consent.c.client_id, _consent.c.scopes, _consent.c.created_at)
    .select_from(_user.outerjoin(_consent, sa.and_(_consent.c.user_id == _user.c.id, consents.is_given)))
    .where(_user.c.id == sa.bindparam("user"))
    .order_by(_consent.c.updated_at.desc())
    .limit(MAX_LISTED)
)
_used_at = sa.func.max(sa.func.coalesce(_g.refreshed_at, _g.created_at))
_is_valid = sa.and_(grant_conditions.is_valid, _g.expires_at > sa.bindparam("now"))
_USED = CompiledStatement(
    sa.select(
        *(_g.client_id, _g.scopes, sa.func.min(_g.created_at), _used_at),
        sa.func.max(sa.case((_is_valid, 1), else_=0)),
        sa.func.max(sa.case((sa.and_(_is_valid, grant_conditions.session_is_open), 1), else_=0)),
    )
    .where(_g.user_id == sa.bindparam("user"))
    .group_by(_g.client_id, _g.scopes)
    .order_by(_used_at.desc())
    .limit(MAX_LISTED)
)
_home = OAuthClient.registered["home_url"].as_string()
_can_be_opened = sa.and_(OAuthClient.source == "command", _home.is_not(None), _home != "")


@dataclass(slots=True)
class AppAccess:
    """An app that a user has granted access to, or is signed in to.

    :ivar client: None if it is disabled or no longer registered
    :ivar allowed: scopes the user has consented to
    :ivar scopes: scopes the app has now: of those consented to and those of valid tokens, the ones it may still request
    :ivar session_scopes: scopes of valid tokens from sessions that are open
    :ivar has_access: whether the app has any access now; False if it is gone or disabled, or the user may not use it
    :ivar since: when the user consented, or else their first sign-in to the app that is still on record
    :ivar used_at: last sign-in or token refresh; None if that is no longer on record
    :ivar is_signed_in: whether the app has a valid grant now
    :ivar stays_signed_in: whether that grant outlives the user's session here
    """

    id: str
    since: datetime
    allowed: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    session_scopes: frozenset[str] = frozenset()
    has_access: bool = False
    client: Client | None = None
    used_at: datetime | None = None
    is_signed_in: bool = False
    stays_signed_in: bool = False

    @property
    def name(self) -> str:
        """Display name of the app."""
        return self.client.name if self.client is not None else self.id


def apps_of(user_id: int) -> tuple[list[LauncherEntry], list[AppAccess]]:
    """Return the apps a user can open, and those with access to their account. Three statements.

    In the second list, apps that have no access now come last.

    The first list has apps with a home page that were added by an administrator. Apps that registered themselves are
    not listed, since they would show up for everyone.
    """
    consented = _CONSENTED.all(user=user_id)
    groups = frozenset(names_in(consented[0][0] or "")) if consented else frozenset[str]()
    access_by_id = _access_by_client(consented, _USED.all(user=user_id, now=clock.now()))
    clients = _clients(access_by_id, or_if=_can_be_opened)
    for app_id, access in access_by_id.items():
        _apply_current_access(access, clients.get(app_id), groups)
    to_open = [_entry(client) for client in clients.values() if _can_open(client, groups)]
    to_open += registered_entries(groups)
    return sorted(to_open, key=_by_name)[:MAX_LISTED], sorted(
        access_by_id.values(), key=lambda each: (not each.has_access, _by_name(each))
    )


def remove(user_id: int, client_id: str) -> str | None:
    """Revoke an app's consent and tokens for an account, and notify the app that the user is signed out.

    :return: the app's name; None if there was nothing to revoke
    """
    if not is_client_id(client_id):
        return None
    withdrawn = consents.withdraw(user_id, client_id)
    ended = grant_ends.end_grants_of_app(user_id, client_id)
    lasting = grants.revoke(Grant.user_id == user_id, Grant.client_id == client_id)
    if not (withdrawn or ended or lasting):
        return None
    client = _clients([client_id]).get(client_id)
    name = client.name if client is not None else client_id
    record("app.removed", user_id, client=client_id, app=name)
    return name


def _access_by_client(allowed: Iterable[Sequence[Any]], used: Iterable[Sequence[Any]]) -> dict[str, AppAccess]:
    """Return access by client id: apps the user consented to, and apps they are signed in to without being asked."""
    found = {
        app_id: AppAccess(app_id, since, allowed=frozenset(scopes.split()))
        for _, app_id, scopes, since in allowed
        if app_id is not None
    }
    for app_id, scopes, since, used_at, is_valid, has_session in used:
        granted = frozenset(scopes.split())
        if app_id not in found and is_valid:
            found[app_id] = AppAccess(app_id, since)
        if (access := found.get(app_id)) is None:
            continue
        access.used_at = max(used_at, access.used_at or used_at)
        if is_valid:
            access.scopes |= granted
            access.is_signed_in = True
            access.stays_signed_in |= "offline_access" in granted
        if has_session:
            access.session_scopes |= granted
    return found


def _apply_current_access(access: AppAccess, client: Client | None, groups: frozenset[str]) -> None:
    """Reduce an app's access to what it has now. Users outside the app's groups get no tokens and can't use any."""
    access.client = client
    if client is not None and "offline_access" not in client.scopes:  # it may have lost it
        access.scopes, access.is_signed_in = access.session_scopes, bool(access.session_scopes)
    if client is None or not client.admits(groups):
        access.scopes = frozenset()
        access.is_signed_in = access.stays_signed_in = False
    else:
        access.scopes = (access.scopes | access.allowed).intersection(client.scopes)
        access.stays_signed_in &= "offline_access" in client.scopes
    access.has_access = access.is_signed_in or bool(access.scopes)


def _clients(ids: Collection[str], *, or_if: sa.ColumnElement[bool] | None = None) -> dict[str, Client]:
    """Return the clients of the clients file, and database clients that match ``ids`` or ``or_if``. One statement."""
    is_named = OAuthClient.id.in_(ids)
    which = is_named if or_if is None else sa.or_(is_named, or_if)
    rows = sa.select(OAuthClient).where(which).order_by(sa.case((is_named, 0), else_=1), OAuthClient.id)
    found = {row.id: enabled_client_of(row) for row in db.session.scalars(rows.limit(MAX_LISTED + len(ids)))}
    return {app_id: client for app_id, client in found.items() if client is not None} | clients_in_memory()


def _can_open(client: Client, groups: frozenset[str]) -> bool:
    """Return whether a member of these groups sees the app among those they can open."""
    return bool(client.home_url) and client.is_vetted and client.admits(groups)


def _entry(client: Client) -> LauncherEntry:
    host = urlsplit(client.home_url).hostname or ""
    path, letter = logo_path(client.id), letter_of(client.name)
    return LauncherEntry(client.id, client.name, client.home_url, host, letter, tint_of(client.id), path)


def _by_name(app: LauncherEntry | AppAccess) -> tuple[str, str]:
    return app.name.casefold(), app.id
