"""Users' consent to apps, and what is known about a user when an app makes a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock
from app.db.compiled import CompiledStatement
from app.extensions import execute_update
from app.groups.service import group_names, names_in
from app.oidc.clients import Client
from app.oidc.models import ClientEnd, Consent, Grant
from app.users import User

_user, _consent, _grant, _end = User.__table__, Consent.__table__, Grant.__table__, ClientEnd.__table__
_was_deleted = sa.exists().where(
    _end.c.client_id == _consent.c.client_id, _end.c.kind == "deleted", _end.c.until >= _consent.c.updated_at
)
is_given = sa.not_(_was_deleted)
"""The consent is for the current client with this id, not for one that was deleted."""

_has_signed_in = sa.exists().where(
    _grant.c.session_id == sa.bindparam("session"), _grant.c.client_id == sa.bindparam("client")
)
_FIND = CompiledStatement(
    sa.select(_user.c.handle, _consent.c.scopes, group_names(_user.c.id), _has_signed_in)
    .select_from(
        _user.outerjoin(
            _consent,
            sa.and_(_consent.c.user_id == _user.c.id, _consent.c.client_id == sa.bindparam("client"), is_given),
        )
    )
    .where(_user.c.id == sa.bindparam("user"))
)


@dataclass(frozen=True, slots=True)
class Relation:
    """What is known about a user in relation to an app.

    :ivar allowed: scopes the user has consented to
    :ivar groups: names of the user's groups
    :ivar has_signed_in: whether this session has signed in to the app before
    """

    handle: str
    allowed: frozenset[str]
    groups: frozenset[str]
    has_signed_in: bool


def relation_of(user_id: int, client_id: str, session_id: str) -> Relation:
    """Return what is known about a user in relation to an app. One statement."""
    found = _FIND.first(user=user_id, client=client_id, session=session_id)
    if found is None:
        return Relation("", frozenset(), frozenset(), False)
    handle, scopes, groups, has_signed_in = found
    return Relation(handle, frozenset((scopes or "").split()), frozenset(names_in(groups or "")), bool(has_signed_in))


def allow(user_id: int, client_id: str, scopes: Iterable[str]) -> None:
    """Record a user's consent to these scopes, which must include those they already consented to."""
    now = clock.now()
    row = insert(Consent).values(
        user_id=user_id, client_id=client_id, scopes=" ".join(scopes), created_at=now, updated_at=now
    )
    newer = {"scopes": row.excluded.scopes, "updated_at": row.excluded.updated_at}
    execute_update(row.on_conflict_do_update(index_elements=[_consent.c.user_id, _consent.c.client_id], set_=newer))


def allow_more(user_id: int, client: Client, scopes: Iterable[str], before: Relation) -> None:
    """Record a user's consent to additional scopes, limited to those the app may have."""
    allowed = before.allowed.union(scopes)
    allow(user_id, client.id, [scope for scope in client.scopes if scope in allowed])


def withdraw(user_id: int, client_id: str) -> int:
    """Delete a user's consent to an app; return how many rows were deleted."""
    return execute_update(sa.delete(Consent).where(Consent.user_id == user_id, Consent.client_id == client_id))
