"""Notify users of sign-ins from new devices.

A request only marks the session, to save statements. The worker enqueues the email on its next sweep.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app import outbox
from app.db.compiled import Detached
from app.extensions import db
from app.sessions.cleanup import KEPT_FOR
from app.sessions.models import AuthSession
from app.users import Identity, User

BATCH = 100
"""Sessions processed in one transaction."""

_ROWS = Detached(AuthSession)
_session, _user = AuthSession.__table__, User.__table__
_earlier = _session.alias("earlier")
_seen_before = sa.exists().where(_earlier.c.user_id == _session.c.user_id, _earlier.c.id < _session.c.id)
"""The account has an earlier session that hasn't been pruned yet."""

_UNREPORTED = (
    _ROWS.select()
    .add_columns(_user.c.created_at, _seen_before)
    .select_from(_session.join(_user, _user.c.id == _session.c.user_id))
    .where(_session.c.untold)
    .order_by(_session.c.id)
    .limit(BATCH)
)
_MARK_REPORTED = (
    sa.update(_session)
    .where(_session.c.id.in_(sa.bindparam("ids", expanding=True)), _session.c.untold)
    .values(untold=False)
    .returning(_session.c.id)
)
_ADDRESSES = (
    sa.select(Identity.user_id, Identity.value)
    .where(Identity.user_id.in_(sa.bindparam("ids", expanding=True)))
    .where(Identity.kind == "email", Identity.confirmed_at.is_not(None))
)


def notify_of_new_devices() -> bool:
    """Enqueue emails about sessions opened in new browsers, except a new account's first; return if there may be more.

    For an account older than the retention of sessions, the first known session is reported as well, since there may
    have been earlier ones. Each session is reported by only one worker, even if it has ended in the meantime.
    """
    unreported = [(*_ROWS.read(row), *row[-2:]) for row in db.session.execute(_UNREPORTED)]
    if not unreported:
        return False
    marked = set(db.session.scalars(_MARK_REPORTED, {"ids": [session.id for session, *_ in unreported]}))
    to_notify = [
        session
        for session, opened_at, seen_before in unreported
        if session.id in marked and (seen_before or session.created_at - opened_at > KEPT_FOR)
    ]
    addresses = _addresses_of({session.user_id for session in to_notify})
    for session in to_notify:
        facts: dict[str, Any] = {"family": session.session_id, "agent": session.agent, "address": session.address}
        recipients = addresses.get(session.user_id, [])
        outbox.enqueue_each("new_device", "mail", recipients, user_id=session.user_id, **facts)
    return len(unreported) == BATCH


def _addresses_of(ids: set[int]) -> dict[int, list[str]]:
    """Return the verified email addresses of these users by user id; no statement if there are no users."""
    found: dict[int, list[str]] = {}
    for user_id, email in db.session.execute(_ADDRESSES, {"ids": list(ids)}) if ids else ():
        found.setdefault(user_id, []).append(email)
    return found
