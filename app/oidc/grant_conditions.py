"""Conditions for the grants that a statement accepts. Each is part of a statement, so none is an extra query."""

from __future__ import annotations

import sqlalchemy as sa

from app.groups.service import is_member_of_listed
from app.oidc.models import ClientEnd, Grant
from app.sessions.models import AuthSession
from app.users import User

_session, _user, _end = AuthSession.__table__, User.__table__, ClientEnd.__table__
_c = Grant.__table__.c

is_active = sa.exists().where(_user.c.id == _c.user_id, _user.c.disabled_at.is_(None), _user.c.deletes_at.is_(None))
"""The grant's account is active."""

session_is_open = sa.exists().where(
    _session.c.session_id == _c.session_id,
    _session.c.kind == "browser",
    _session.c.revoked_at.is_(None),
    _session.c.expires_at > sa.bindparam("now"),
)
"""The session that issued the grant is open."""

_was_deleted, _was_disabled = _end.c.kind == "deleted", _end.c.kind == "disabled"
_was_lost = sa.and_(
    _end.c.kind == "narrowed",
    sa.not_(is_member_of_listed(_c.user_id, _end.c.registered["groups"].as_string())),
)


def _outlasts(*ends: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    is_of_grant = (_end.c.client_id == _c.client_id, _end.c.until >= _c.created_at)
    return sa.not_(sa.exists().where(*is_of_grant, sa.or_(_was_lost, *ends)))


outlasts_client = _outlasts(_was_deleted, sa.and_(_was_disabled, sa.not_(_c.offline)))
"""The grant isn't waiting to be ended by a worker because its client was disabled or deleted, or changed its groups."""

is_pending = (_c.revoked_at.is_(None), _c.ended_at.is_(None), _outlasts(_was_deleted, _was_disabled))
"""Nothing has ended the sign-in that a code completes, not even if it has ``offline_access``.

An UPDATE that waited for one that ended the grant checks its columns again, but not the session, so a code is not
exchanged after its app was due to be notified.
"""

is_valid = sa.and_(_c.revoked_at.is_(None), is_active, outlasts_client, sa.or_(_c.offline, session_is_open))
"""The grant is valid, unless its client may no longer ask for ``offline_access`` and the session has ended."""
