"""Notify users of sign-ins from new devices.

A request only marks the session: its statements are counted. The worker writes the mail, within one sweep of its.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app import outbox
from app.extensions import changed, db
from app.sessions.cleanup import KEPT_FOR
from app.sessions.models import AuthSession
from app.users import Identity, User

BATCH = 100
"""Sessions told of in one transaction."""

_earlier = AuthSession.__table__.alias("earlier")
_seen_before = sa.exists().where(_earlier.c.user_id == AuthSession.user_id, _earlier.c.id < AuthSession.id)
"""Whether the account had been signed in to before, as far as anybody remembers."""

_NEWS = (
    sa.select(AuthSession, User.created_at, _seen_before)
    .join(User, User.id == AuthSession.user_id)
    .where(AuthSession.untold)
    .limit(BATCH)
)
_ADDRESSES = (
    sa.select(Identity.user_id, Identity.value)
    .where(Identity.user_id.in_(sa.bindparam("ids", expanding=True)))
    .where(Identity.kind == "email", Identity.confirmed_at.is_not(None))
)


def notify_of_new_devices() -> bool:
    """Have mails sent about each session that was opened from a new browser; none for the first of a new account.

    An account older than sessions are remembered is told of its first one too: nobody knows that it is.
    Of two workers one tells. What has ended meanwhile is told all the same: it was there.
    Return whether there may be more.
    """
    news = db.session.execute(_NEWS).all()
    addresses = _addresses_of({session.user_id for session, *_ in news})
    for session, opened_at, seen_before in news:
        mine = sa.update(AuthSession).where(AuthSession.id == session.id, AuthSession.untold)
        if changed(mine.values(untold=False)) and (seen_before or session.created_at - opened_at > KEPT_FOR):
            facts: dict[str, Any] = {"family": session.session_id, "agent": session.agent, "address": session.address}
            where_to = addresses.get(session.user_id, [])
            outbox.enqueue_each("new_device", "mail", where_to, user_id=session.user_id, **facts)
    return len(news) == BATCH


def _addresses_of(ids: set[int]) -> dict[int, list[str]]:
    """Return every proved address of these users; no statement when there are none."""
    found: dict[int, list[str]] = {}
    for user_id, email in db.session.execute(_ADDRESSES, {"ids": list(ids)}) if ids else ():
        found.setdefault(user_id, []).append(email)
    return found
